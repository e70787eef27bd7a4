// Package sshd runs OpenSSH's server for tests: as a process of the test, on a
// port of its own, with keys of its own and, on request, a password. It can be
// killed with all that it serves and started again. It changes nothing of the
// machine but the folder that sshd wants to be there.
package sshd

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"doppel.live/internal/store/remote"
)

// Server is a server, and who may log in there.
type Server struct {
	Port        int
	Key         string // private key of the user, in OpenSSH's form
	Fingerprint string // of the server
	User        string

	t       testing.TB
	program string
	folder  string
	process *exec.Cmd
	sftp    string
	host    ssh.PublicKey
	shadow  string // its own /etc/shadow, "" where passwords are those of the machine
}

// Password is what AllowPassword lets the user in with: letters and digits,
// which every keyboard of a machine has in the same place.
const Password = "geheim77"

// passwordHash is the Password as crypt(5) keeps it.
const passwordHash = "$6$doppel$iQTIgFuGntqe1dSNvxRSi05ubCTE8hHw9qLefFKfFR8IDe3cVqF/Fznmm31qf0mg/vTxmeTfNG2MySSwmQDIb1"

// Start runs a server until the test ends. sftp are the arguments of
// internal-sftp, such as -R for a server that only reads.
func Start(t testing.TB, sftp ...string) *Server {
	t.Helper()
	program, err := exec.LookPath("sshd")
	if err != nil {
		if program = "/usr/sbin/sshd"; !exists(program) {
			t.Skip("sshd is not installed (openssh-server)")
		}
	}
	s := &Server{t: t, program: program, folder: t.TempDir(), sftp: strings.Join(append([]string{"internal-sftp"}, sftp...), " ")}
	if os.Geteuid() == 0 { // privilege separation wants an empty folder
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Skip(err)
		}
	}
	s.User = "root"
	if os.Geteuid() != 0 {
		s.User = os.Getenv("USER")
	}
	user := s.key("user")
	data, err := os.ReadFile(filepath.Join(s.folder, "user"))
	if err != nil {
		t.Fatal(err)
	}
	s.Key = string(data)
	s.write("authorized", string(ssh.MarshalAuthorizedKey(user)))
	s.NewHostKey()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	s.Run()
	t.Cleanup(s.Kill)
	return s
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (s *Server) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.folder, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// key makes a key and gives its public half.
func (s *Server) key(name string) ssh.PublicKey {
	s.t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(name, string(pem.EncodeToMemory(block)))
	k, err := ssh.NewPublicKey(public)
	if err != nil {
		s.t.Fatal(err)
	}
	return k
}

// NewHostKey gives the server another key when it is started the next time.
func (s *Server) NewHostKey() {
	s.t.Helper()
	k := s.key("host")
	s.Fingerprint = ssh.FingerprintSHA256(k)
	s.host = k
}

// KnownHost is the server's line in a known-hosts file.
func (s *Server) KnownHost() string {
	return fmt.Sprintf("[127.0.0.1]:%d %s", s.Port, ssh.MarshalAuthorizedKey(s.host))
}

// AllowPassword starts the server again so that Password lets the user in. Only
// this server sees a password file that says so: the users of the machine keep
// their passwords. It needs root.
func (s *Server) AllowPassword() {
	s.t.Helper()
	if os.Geteuid() != 0 {
		s.t.Skip("needs root: sshd gets a password file of its own")
	}
	if _, err := exec.LookPath("unshare"); err != nil {
		s.t.Skip("needs unshare")
	}
	s.shadow = s.write("shadow", fmt.Sprintf("%s:%s:20000:0:99999:7:::\n", s.User, passwordHash))
	s.Kill()
	s.Run()
}

// command is the server with a configuration; in a namespace of its own where
// it has a password file of its own.
func (s *Server) command(config string) *exec.Cmd {
	argv := []string{s.program, "-D", "-e", "-f", config}
	if s.shadow != "" {
		argv = append([]string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/shadow && exec "$@"`, s.shadow}, argv...)
	}
	return exec.Command(argv[0], argv[1:]...)
}

// Run starts the server, which must not be running.
func (s *Server) Run() {
	s.t.Helper()
	text := fmt.Sprintf(`ListenAddress 127.0.0.1
Port %d
HostKey %s
AuthorizedKeysFile %s
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication yes
KbdInteractiveAuthentication no
MaxStartups 1000
MaxAuthTries 20
Subsystem sftp %s
`, s.Port, filepath.Join(s.folder, "host"), filepath.Join(s.folder, "authorized"), s.sftp)
	// Since 9.8 it lets those wait who come with wrong passwords.
	config := s.write("config", text+"PerSourcePenalties no\n")
	if exec.Command(s.program, "-t", "-f", config).Run() != nil {
		s.write("config", text)
	}
	s.process = s.command(config)
	log, err := os.OpenFile(filepath.Join(s.folder, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.process.Stderr = log
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", s.Address())
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			s.t.Fatalf("sshd does not start: %v\n%s", err, text)
		}
	}
}

// Kill ends the server and all that it serves, at once.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	pids := below(s.process.Process.Pid)
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	s.process = nil
}

// below are the processes that one has started, and those have.
func below(pid int) (list []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for field := range strings.FieldsSeq(string(text)) {
		if child, err := strconv.Atoi(field); err == nil {
			list = append(append(list, child), below(child)...)
		}
	}
	return list
}

// Address is host and port.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Location is a folder of the server, with its key pinned.
func (s *Server) Location(folder string) remote.Location {
	return remote.Location{Scheme: remote.SFTP, User: s.User, Host: "127.0.0.1", Port: s.Port, Path: folder, HostKey: s.Fingerprint}
}

// Credentials let the user in.
func (s *Server) Credentials() remote.Credentials {
	return remote.Credentials{Key: remote.NewSecret(s.Key)}
}
