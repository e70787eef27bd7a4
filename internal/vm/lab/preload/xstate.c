/*
 * Loaded before user-mode Linux where the processor has more registers than
 * that knows (those of AMX): the host's kernel sets the extended registers of a
 * process all at once or not at all, and refuses (EFAULT) the part that user-mode
 * Linux kept. Here that part is laid over what the process has, and all of it
 * is set. Nothing in a guest uses the rest.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define NT_X86_XSTATE 0x202

typedef long (*ptrace_function)(int, pid_t, void *, void *);

static ptrace_function next;
static char all[1 << 16]; /* bytes; user-mode Linux calls ptrace from one thread */

long ptrace(enum __ptrace_request request, ...)
{
	va_list list;
	va_start(list, request);
	pid_t pid = va_arg(list, pid_t);
	void *addr = va_arg(list, void *);
	void *data = va_arg(list, void *);
	va_end(list);

	if (next == NULL)
		next = (ptrace_function)dlsym(RTLD_NEXT, "ptrace");
	if (request == PTRACE_SETREGSET && (size_t)addr == NT_X86_XSTATE) {
		struct iovec *part = data, whole = {all, sizeof(all)};
		if (next(PTRACE_GETREGSET, pid, addr, &whole) < 0)
			return -1;
		if (whole.iov_len > part->iov_len) {
			memcpy(all, part->iov_base, part->iov_len);
			return next(request, pid, addr, &whole);
		}
	}
	return next(request, pid, addr, data);
}
