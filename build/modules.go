package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"doppel.live/initramfs"
)

// module is a Go module of which something is inside, or Go itself.
type module struct {
	path, version string
	sum           string // as in go.sum, "h1:…"; "" for Go itself
	dir           string
	licences      []string // files with licences, of the packages that are inside
}

func (m module) String() string {
	if m.version == "" {
		return m.path
	}
	return m.path + "@" + m.version
}

// modules returns the Go modules that are linked into out/doppel or into the
// commands of the live system, by path, and Go itself first.
func (b *builder) modules() ([]module, error) {
	packages, err := initramfs.CommandPackages(b.source)
	if err != nil {
		return nil, err
	}
	// -e: some commands are for other systems too
	args := append([]string{"list", "-e", "-deps",
		"-f={{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Sum}} {{.Dir}} {{$.Dir}}{{end}}{{end}}"}, packages...)
	cmd := exec.Command(b.goTool, args...)
	cmd.Dir = b.source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	return collectModules(out, filepath.Dir(filepath.Dir(b.goTool)))
}

// collectModules reads lines of module, version, sum, the module's folder and
// a package's folder.
func collectModules(list []byte, goroot string) ([]module, error) {
	found, folders := map[string]module{}, map[string][]string{}
	for line := range strings.Lines(string(list)) {
		words := strings.Fields(line)
		if len(words) != 5 {
			if len(words) > 0 {
				return nil, fmt.Errorf("go list: %q: not a package of a module that was downloaded", strings.TrimSpace(line))
			}
			continue
		}
		found[words[0]] = module{path: words[0], version: words[1], sum: words[2], dir: words[3]}
		folders[words[0]] = append(folders[words[0]], words[4])
	}
	all := []module{{path: "go", version: strings.TrimPrefix(runtime.Version(), "go"), dir: goroot}}
	folders["go"] = []string{goroot}
	for _, path := range slices.Sorted(maps.Keys(found)) {
		all = append(all, found[path])
	}
	for i, m := range all {
		var err error
		if all[i].licences, err = licenceFiles(m.dir, folders[m.path]); err != nil {
			return nil, err
		}
		if len(all[i].licences) == 0 {
			return nil, fmt.Errorf("%v: no licence in %s", m, m.dir)
		}
	}
	return all, nil
}

// sha256 returns the hash in a module's sum in hex: SHA-256 over the sorted
// list of its files' SHA-256, as cmd/go's dirhash defines "h1".
func (m module) sha256() (string, error) {
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.sum, "h1:"))
	if err != nil || len(sum) != 32 {
		return "", fmt.Errorf("%v: %q is no sum", m, m.sum)
	}
	return hex.EncodeToString(sum), nil
}

// location returns where the sources of a module come from: the repository
// and what names the version in it, where the path tells, else the address at
// which go itself asks for the repository.
//
//	github.com/u-root/gobusybox/src v0.0.0-20250101170133-2e884e4509c7
//	git+https://github.com/u-root/gobusybox@2e884e4509c7#src
func (m module) location() string {
	if m.path == "go" {
		return "git+https://go.googlesource.com/go@go" + m.version
	}
	version, _, _ := strings.Cut(m.version, "+")
	words := strings.Split(m.path, "/")
	if last := words[len(words)-1]; major.MatchString(last) {
		words = words[:len(words)-1]
	}
	repository, sub := "", ""
	switch {
	case words[0] == "github.com" && len(words) > 2:
		repository, sub = strings.Join(words[:3], "/"), strings.Join(words[3:], "/")
	case strings.HasPrefix(m.path, "golang.org/x/") && len(words) > 2:
		repository, sub = "go.googlesource.com/"+words[2], strings.Join(words[3:], "/")
	default:
		return "https://" + m.path + "?go-get=1"
	}
	if commit := pseudo.FindStringSubmatch(version); commit != nil {
		version = commit[1]
	} else if sub != "" {
		version = sub + "/" + version
	}
	if sub != "" {
		sub = "#" + sub
	}
	return "git+https://" + repository + "@" + version + sub
}

var (
	major  = regexp.MustCompile(`^v[0-9]+$`)
	pseudo = regexp.MustCompile(`[.-][0-9]{14}-([0-9a-f]{12})$`) // a version that names a commit
)
