package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/live/sshd"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// asProgram makes the test the program itself.
const asProgram = "DOPPEL_TEST_SSHD"

func TestMain(m *testing.M) {
	if key := os.Getenv(asProgram); key != "" {
		os.Args = []string{"sshd", "--authorized", key, "--listen", "127.0.0.1:0"}
		main()
	}
	os.Exit(m.Run())
}

// What the first process sends to all when the machine ends ends it in order.
func TestSignals(t *testing.T) {
	host, err := sshd.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []os.Signal{unix.SIGTERM, unix.SIGHUP} {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), asProgram+"="+strings.TrimSpace(string(ssh.MarshalAuthorizedKey(host.PublicKey()))))
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		log := bufio.NewReader(out)
		if line, err := log.ReadString('\n'); !strings.Contains(line, "may come in at") {
			t.Errorf("%q, %v", line, err)
		}
		if err := cmd.Process.Signal(end); err != nil {
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, log)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", end, err)
		}
	}
}

func TestKeysOf(t *testing.T) {
	host, err := sshd.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(host.PublicKey())))
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(key+" a\n"+key+" b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{key: 1, file: 2} {
		if keys, err := keysOf(t.Context(), text); err != nil || len(keys) != want {
			t.Errorf("%.20s: %d keys, %v", text, len(keys), err)
		}
	}
	for text, says := range map[string]string{
		"http://10.0.0.1/keys":                       "could be anybody's",
		"ssh-ed25519 nonsense":                       "no public key",
		file + "x":                                   "no such file",
		"ftp://10.0.0.1/keys":                        "no way to name a file",
		file + "#sha256=" + strings.Repeat("00", 32): "not the one",
	} {
		if _, err := keysOf(t.Context(), text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %s", text, err, says)
		}
	}
}

func TestNobodyComesIn(t *testing.T) {
	var out, errs bytes.Buffer
	if got := run(context.Background(), []string{"--authorized", "/no/such/file", "--listen", "127.0.0.1:0"}, &out, &errs); got != 1 || !strings.Contains(errs.String(), "nobody may come in") {
		t.Errorf("status %d, %q", got, errs.String())
	}
	if got := run(context.Background(), nil, &out, &errs); got != 2 {
		t.Errorf("status %d", got)
	}
}
