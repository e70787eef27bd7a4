package sftp

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"doppel.live/internal/store/storetest/sshd"
)

// BenchmarkBesideOpenSSH writes and reads one object, in turns with OpenSSH's
// own sftp, over the same server. The figure is how many times as long as
// OpenSSH's client ours takes; less than 1 is faster.
func BenchmarkBesideOpenSSH(b *testing.B) {
	client, err := exec.LookPath("sftp")
	if err != nil {
		b.Skip("sftp is not installed (openssh-client)")
	}
	server := sshd.Start(b)
	folder := b.TempDir()
	key := filepath.Join(folder, "key")
	if err := os.WriteFile(key, []byte(server.Key), 0o600); err != nil {
		b.Fatal(err)
	}
	known := filepath.Join(folder, "known")
	if err := os.WriteFile(known, []byte(server.KnownHost()), 0o600); err != nil {
		b.Fatal(err)
	}
	const size = 256 << 20
	data := noise(size, 1)
	source := filepath.Join(folder, "source")
	if err := os.WriteFile(source, data, 0o600); err != nil {
		b.Fatal(err)
	}
	batch := func(command string) {
		b.Helper()
		file := filepath.Join(folder, "batch")
		if err := os.WriteFile(file, []byte(command+"\n"), 0o600); err != nil {
			b.Fatal(err)
		}
		cmd := exec.Command(client, "-q", "-b", file, "-i", key, "-P", fmt.Sprint(server.Port), "-o", "UserKnownHostsFile="+known, server.User+"@127.0.0.1")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
	var ours, theirs [2]time.Duration
	b.SetBytes(2 * size)
	for b.Loop() {
		began := time.Now()
		batch("put -f " + source + " " + filepath.Join(folder, "theirs")) // -f: fsync, as we do
		theirs[0] += time.Since(began)

		began = time.Now()
		s := open(b, options(server, folder))
		w, err := s.Create("ours", 0o600)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			b.Fatal(err)
		}
		ours[0] += time.Since(began)

		began = time.Now()
		batch("get " + source + " /dev/null")
		theirs[1] += time.Since(began)

		began = time.Now()
		r, err := s.Open("ours")
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, io.NewSectionReader(r, 0, r.Size())); n != size || err != nil {
			b.Fatal(n, err)
		}
		r.Close()
		ours[1] += time.Since(began)
		s.Close()
	}
	b.ReportMetric(float64(ours[0])/float64(theirs[0]), "times-write")
	b.ReportMetric(float64(ours[1])/float64(theirs[1]), "times-read")
	b.ReportMetric(float64(size)*float64(b.N)/1e6/ours[0].Seconds(), "MB/s-write")
	b.ReportMetric(float64(size)*float64(b.N)/1e6/ours[1].Seconds(), "MB/s-read")
}
