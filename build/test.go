package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// test brings out/ up to date, vets the source and runs tests. What they need
// is named in their environment; see environment. Virtual machines come last
// and alone: they are slow enough without company.
func (b *builder) test(extra []string, flags ...string) error {
	env, err := b.ready()
	if err != nil {
		return err
	}
	if err := step("vet", b.vet); err != nil {
		return err
	}
	small, machines, err := b.testPackages()
	if err != nil {
		return err
	}
	env = slices.Concat(os.Environ(), env, extra)
	first := step("tests", func() error { return b.goTest(env, flags, small) })
	second := step("machines", func() error { return b.goTest(env, append(flags, "-p=1"), machines) })
	return errors.Join(first, second)
}

// vet looks at the source without running it.
func (b *builder) vet() error {
	if err := b.command(b.goTool, "vet", "./..."); err != nil {
		return err
	}
	return b.command(b.goTool, "tool", "staticcheck", "./...")
}

func (b *builder) goTest(env, flags, packages []string) error {
	cmd := exec.Command(b.goTool, slices.Concat([]string{"test"}, flags, packages)...)
	cmd.Dir = b.source
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// testPackages returns all packages, those that start virtual machines apart.
func (b *builder) testPackages() (small, machines []string, err error) {
	cmd := exec.Command(b.goTool, "list", "./...")
	cmd.Dir = b.source
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, nil, err
	}
	for _, name := range strings.Fields(string(out)) {
		if strings.Contains(name, "/internal/vm/") {
			machines = append(machines, name)
		} else {
			small = append(small, name)
		}
	}
	return small, machines, nil
}

// ready builds the image if what it is made of has changed, and returns the
// environment for tests.
func (b *builder) ready() ([]string, error) {
	p, id, err := b.plan()
	if err != nil {
		return nil, err
	}
	if !b.upToDate(id) {
		if err := b.build(p, id); err != nil {
			return nil, err
		}
	}
	t, err := b.unpack(p)
	if err != nil {
		return nil, err
	}
	firmware, err := b.exactly("ovmf")
	if err != nil {
		return nil, err
	}
	ovmf, err := b.tree("ovmf", firmware)
	if err != nil {
		return nil, err
	}
	return b.environment(t, ovmf), nil
}

// environment tells tests where things are:
//
//	DOPPEL_ISO, DOPPEL_HOST, DOPPEL_KERNEL, DOPPEL_INITRD   what was built
//	DOPPEL_OVMF          directory with UEFI firmware, OVMF_CODE_4M.fd and others
//	DOPPEL_BOOT          directory with the packages of GRUB and shim, unpacked
//	DOPPEL_KERNEL_TREE   directory with the kernel's package, unpacked
//	DOPPEL_MIRROR        Debian mirror, for the sample system
//	DOPPEL_UML           user-mode Linux, where it could be had
//	DOPPEL_UML_MODULES   its modules: a directory with one below it per version
//	DOPPEL_CHRONY        directory with chrony's packages, unpacked, where they could be had
//	DOPPEL_CACHE         where tests may keep what is costly to make
func (b *builder) environment(t *trees, ovmf string) []string {
	env := []string{
		"DOPPEL_ISO=" + filepath.Join(b.out, imageFile),
		"DOPPEL_HOST=" + filepath.Join(b.out, hostFile),
		"DOPPEL_KERNEL=" + filepath.Join(b.out, kernelFile),
		"DOPPEL_INITRD=" + filepath.Join(b.out, initrdFile),
		"DOPPEL_OVMF=" + filepath.Join(ovmf, "usr/share/OVMF"),
		"DOPPEL_BOOT=" + t.boot,
		"DOPPEL_KERNEL_TREE=" + t.kernel,
		"DOPPEL_MIRROR=" + b.mirror,
		"DOPPEL_CACHE=" + b.cache,
	}
	uml := filepath.Join(b.cache, "uml", "tree")
	if _, err := os.Stat(filepath.Join(uml, "usr/bin/linux.uml")); err == nil {
		env = append(env,
			"DOPPEL_UML="+filepath.Join(uml, "usr/bin/linux.uml"),
			"DOPPEL_UML_MODULES="+filepath.Join(uml, "usr/lib/uml/modules"))
	}
	chrony := filepath.Join(b.cache, "chrony", "tree")
	if _, err := os.Stat(filepath.Join(chrony, "usr/sbin/chronyd")); err == nil {
		env = append(env, "DOPPEL_CHRONY="+chrony)
	}
	return env
}
