package acceptance

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"doppel.live/internal/vm"
)

// netBoot is one way to start from the network.
type netBoot struct {
	name     string
	firmware vm.Firmware
	how      vm.NetBoot
	proxy    bool              // another server gives the addresses
	change   map[string]string // of the example's lines
	rom      bool              // the card's PXE is not to be known as iPXE; see TestNetboot
	memory   int
	fetched  []string // what the servers must have sent
	soak     bool
}

func netBoots() []netBoot {
	return []netBoot{
		{name: "BIOS PXE", how: vm.PXE, rom: true, fetched: []string{"/undionly.kpxe", "GET /boot.ipxe", "GET /vmlinuz"}},
		{name: "UEFI PXE beside another DHCP server", firmware: vm.UEFI, how: vm.PXE, proxy: true,
			fetched: []string{"/shimx64.efi", "/grubx64.efi", "/grub/grub.cfg", "/initrd.img"}},
		{name: "UEFI PXE with Secure Boot", firmware: vm.SecureBoot, how: vm.PXE,
			fetched: []string{"/shimx64.efi", "/grubx64.efi", "/grub/grub.cfg", "/initrd.img"}},
		{name: "UEFI HTTP boot with Secure Boot", firmware: vm.SecureBoot, how: vm.HTTP,
			fetched: []string{"GET /shimx64.efi", "GET //grubx64.efi", "GET /grub/grub.cfg", "GET /initrd.img"}},
		{name: "iPXE script", how: vm.PXE, fetched: []string{"/boot.ipxe", "/vmlinuz", "/initrd.img"}},

		{name: "UEFI PXE", firmware: vm.UEFI, how: vm.PXE, fetched: []string{"/shimx64.efi", "/grub/grub.cfg"}, soak: true},
		{name: "UEFI PXE with Secure Boot beside another DHCP server", firmware: vm.SecureBoot, how: vm.PXE, proxy: true,
			fetched: []string{"/shimx64.efi", "/grub/grub.cfg"}, soak: true},
		{name: "BIOS PXE beside another DHCP server", how: vm.PXE, rom: true, proxy: true, fetched: []string{"/undionly.kpxe", "GET /boot.ipxe"}, soak: true},
		{name: "UEFI iPXE", firmware: vm.UEFI, how: vm.PXE,
			change:  map[string]string{"dhcp-boot=tag:uefi,tag:!ipxe,shimx64.efi": "dhcp-boot=tag:uefi,tag:!ipxe,snponly.efi"},
			fetched: []string{"/snponly.efi", "/boot.ipxe", "/initrd.img"}, soak: true},
		{name: "UEFI HTTP boot of the disc with Secure Boot", firmware: vm.SecureBoot, how: vm.HTTP, memory: 2048,
			change:  map[string]string{"http://10.0.0.1/shimx64.efi": "http://10.0.0.1/doppel.iso"},
			fetched: []string{"GET /doppel.iso"}, soak: true},
	}
}

// Every way to start from the network reaches the menu. The servers are those
// that the folder's README tells about, dnsmasq with the examples from it and a
// plain HTTP server, in a network of the test's own:
//
// What undionly.kpxe loads goes through two iPXE, in real mode: that takes ten
// minutes without a real processor. So the test ends there where it asks for
// the kernel, and goes on to the menu only in a soak.
//
//	QEMU ── tap0 ══ lan 10.0.0.1 (proxy: 10.0.0.2) dnsmasq, HTTP ══ veth ── 10.0.0.1 (proxy only) another DHCP server
func TestNetboot(t *testing.T) {
	l := openLab(t)
	for _, test := range netBoots() {
		t.Run(test.name, func(t *testing.T) {
			if test.soak && os.Getenv("DOPPEL_SOAK") == "" {
				t.Skip("takes long: run ./build.sh soak")
			}
			if !inNetwork(t) {
				return
			}
			dir := filepath.Join(filepath.Dir(l.iso), "netboot")
			servers := serve(t, dir, test)
			config := vm.Config{Firmware: test.firmware, OVMF: l.ovmf, Tap: "tap0", NetBoot: test.how, Memory: test.memory}
			patience := 3 * time.Minute
			if test.rom {
				patience = 20 * time.Minute
			}
			if test.rom && os.Getenv("DOPPEL_SOAK") == "" {
				servers.wait(t, start(t, config, 4*time.Minute), test.fetched)
				return
			}
			c := startEntry(t, config, 45*time.Minute, patience, "", "")
			for _, file := range test.fetched {
				if !strings.Contains(servers.said(), file) {
					t.Errorf("%s was not fetched", file)
				}
			}
			if test.firmware == vm.SecureBoot {
				c.choose("Shell")
				c.see(`doppel:.*#`)
				c.key("dmesg | grep -i 'secure boot'; cat /sys/kernel/security/lockdown\r")
				c.see(`Secure boot enabled`)
				c.see(`\[integrity\]`)
			}
		})
	}
}

// inNetwork runs the test again in a network namespace and there returns true.
func inNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv("DOPPEL_TEST_NETWORK") != "" {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root for a network of its own")
	}
	for _, name := range []string{"dnsmasq", "ip"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	t.Parallel()
	pattern := "^" + strings.Replace(t.Name(), "/", "$/^", 1) + "$"
	cmd := exec.Command(os.Args[0], "-test.run="+pattern, "-test.v", "-test.timeout=50m")
	cmd.Env = append(os.Environ(), "DOPPEL_TEST_NETWORK=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	case !strings.Contains(string(out), "--- PASS: TestNetboot/"):
		t.Fatalf("nothing was run: %s", out)
	}
	t.Logf("%s", out)
	return false
}

// plainPXE makes the iPXE in QEMU's network card do what others' PXE does: ask
// as such, and start what it is sent. The iPXE that comes so has the driver
// undionly and goes on to the menu.
const plainPXE = `#!ipxe
iseq ${net0/chip} undionly && chain http://${next-server}/boot.ipxe ||
set user-class PXEClient
dhcp net0
chain tftp://${next-server}/${filename}
`

// proxiedPXE is plainPXE beside another DHCP server, whose address it gets with
// the server's: iPXE keeps the answer of a proxy for good, and so cannot ask one
// as another client does. What others' PXE is sent, UEFI's sees.
const proxiedPXE = `#!ipxe
iseq ${net0/chip} undionly && chain http://%[1]s/boot.ipxe ||
chain tftp://%[1]s/undionly.kpxe
`

// servers are the running servers and what they said.
type servers struct {
	mu  sync.Mutex
	log bytes.Buffer
}

func (s *servers) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

// wait waits until the servers have sent files to a machine.
func (s *servers) wait(t *testing.T, c *console, files []string) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for _, file := range files {
		for !strings.Contains(s.said(), file) {
			select {
			case <-tick.C:
			case <-c.ctx.Done():
				c.fail(fmt.Errorf("%s was not fetched", file))
			}
		}
	}
}

func (s *servers) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// serve makes the network and starts the servers of the folder on it.
func serve(t *testing.T, dir string, test netBoot) *servers {
	t.Helper()
	s := &servers{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the servers:\n%s", s.said())
		}
	})
	ours, example, card, script := "10.0.0.1", "dnsmasq.conf", "interface=eth1", plainPXE
	if test.proxy {
		ours, example, card = "10.0.0.2", "dnsmasq-proxy.conf", "interface=eth0"
		script = fmt.Sprintf(proxiedPXE, ours)
	}
	for _, line := range []string{"link set lo up", "link add lan type bridge", "tuntap add tap0 mode tap", "link set tap0 master lan",
		"link set tap0 up", "addr add " + ours + "/24 dev lan", "link set lan up"} {
		run(t, append([]string{"ip"}, strings.Fields(line)...)...)
	}
	data, err := os.ReadFile(filepath.Join(dir, example))
	if err != nil {
		t.Fatal(err)
	}
	config := string(data)
	changes := map[string]string{card: "interface=lan", "/srv/doppel": dir}
	for from, to := range test.change {
		changes[from] = to
	}
	if test.rom {
		changes["boot.ipxe\n"] = "http://" + ours + "/plain.ipxe\n"
	}
	for from, to := range changes {
		if !strings.Contains(config, from) {
			t.Fatalf("%s has no %s", example, from)
		}
		config = strings.ReplaceAll(config, from, to)
	}
	s.dnsmasq(t, config, 0)
	if test.proxy {
		s.otherServer(t)
	}
	listener, err := net.Listen("tcp", ours+":80")
	if err != nil {
		t.Fatal(err)
	}
	files := http.FileServer(http.Dir(dir))
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Write([]byte(r.Method + " " + r.URL.Path + "\n"))
		if r.URL.Path == "/plain.ipxe" {
			io.WriteString(w, script)
			return
		}
		files.ServeHTTP(w, r)
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return s
}

// dnsmasq starts one with a configuration, perhaps in another namespace.
func (s *servers) dnsmasq(t *testing.T, config string, flags uintptr) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "dnsmasq.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	// its interface may come a moment later
	cmd := exec.Command("sh", "-c", `until ip link show lan; do sleep 0.1; done >/dev/null 2>&1; exec "$@"`, "sh",
		"dnsmasq", "--no-daemon", "--conf-file="+file, "--user=root", "--log-dhcp", "--log-facility=-",
		"--pid-file="+filepath.Join(dir, "pid"), "--dhcp-leasefile="+filepath.Join(dir, "leases"))
	cmd.Stdout, cmd.Stderr = s, s
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// otherServer gives addresses and knows nothing of booting.
func (s *servers) otherServer(t *testing.T) {
	t.Helper()
	cmd := s.dnsmasq(t, "interface=lan\nbind-dynamic\nport=0\ndhcp-range=10.0.0.100,10.0.0.199,12h\n", syscall.CLONE_NEWNET)
	run(t, "ip", "link", "add", "cable", "master", "lan", "up", "type", "veth", "peer", "name", "far", "netns", strconv.Itoa(cmd.Process.Pid))
	for _, line := range []string{"addr add 10.0.0.1/24 dev far", "link set far name lan", "link set lan up"} {
		run(t, append([]string{"nsenter", "--net=/proc/" + strconv.Itoa(cmd.Process.Pid) + "/ns/net", "ip"}, strings.Fields(line)...)...)
	}
}
