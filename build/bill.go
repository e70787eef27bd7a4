package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"doppel.live/build/debian"
	"doppel.live/build/licence"
	"doppel.live/build/spdx"
)

// billFile names everything that is inside: Debian packages and Go modules,
// with versions, licences and checksums, as SPDX 2.3.
const billFile = "packages.json"

// bill makes the document. Equal input gives equal bytes.
func (b *builder) bill(list []*debian.Package, copyrights map[string]string, modules []module, id string) ([]byte, error) {
	d := spdx.New(spdx.Package{
		ID: "SPDXRef-doppel", Name: "doppel", Version: id,
		DownloadLocation: spdx.NoAssertion, Concluded: spdx.NoAssertion,
		Declared: "Apache-2.0", Copyright: spdx.NoAssertion,
		Comment: "The live system, its boot loaders and the program for any Linux. The declared licence is that of Doppel's own code.",
	}, "urn:uuid:"+id, "doppel.live/build", b.time)
	d.Comment = "The texts of the licences: " + licencesFile + " beside this file."
	seen := map[string]bool{}
	for _, p := range list {
		if seen[p.Name] {
			continue // its files come in two trees
		}
		seen[p.Name] = true
		part, licences, err := debianPart(p, copyrights[p.Name])
		if err != nil {
			return nil, err
		}
		d.Add(part, licences...)
	}
	for _, m := range modules {
		part, licences, err := modulePart(m)
		if err != nil {
			return nil, err
		}
		d.Add(part, licences...)
	}
	return d.Encode()
}

// debianPart describes a package. Its place is the archive of all that Debian
// ever published, where the sources are too.
func debianPart(p *debian.Package, copyright string) (spdx.Package, []spdx.Licence, error) {
	text, err := os.ReadFile(copyright)
	if err != nil {
		return spdx.Package{}, nil, err
	}
	declared, licences := debianLicences(p, string(text))
	source, version := p.SourcePackage()
	return spdx.Package{
		ID: "SPDXRef-" + spdx.ID("deb", p.Name), Name: p.Name, Version: p.Version,
		FileName: p.Filename[strings.LastIndex(p.Filename, "/")+1:],
		Supplier: "Organization: Debian",
		DownloadLocation: fmt.Sprintf("https://snapshot.debian.org/package/%s/%s/",
			url.PathEscape(source), url.PathEscape(version)),
		Checksums:  []spdx.Checksum{{Algorithm: "SHA256", Value: p.SHA256}},
		SourceInfo: fmt.Sprintf("built from the Debian source package %s %s", source, version),
		Concluded:  spdx.NoAssertion, Declared: declared, Copyright: spdx.NoAssertion,
		References: []spdx.ExternalRef{spdx.PURL(fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s",
			purlEscape(p.Name), purlEscape(p.Version), p.Architecture))},
	}, licences, nil
}

// debianLicences gives the licences that the copyright file of a package
// declares. Those that SPDX has no name for get one of ours, with the text
// where the file tells which it is; packages of one source share it.
func debianLicences(p *debian.Package, file string) (string, []spdx.Licence) {
	source, _ := p.SourcePackage()
	where := "debian/" + p.Name + " in " + licencesFile
	var refs []spdx.Licence
	declared, ok := licence.Debian(file, func(l licence.Named) string {
		text := l.Text
		if text == "" {
			text = "See " + where + "."
		}
		hash := sha256.Sum256([]byte(text))
		id := "LicenseRef-" + spdx.ID(source, l.Name, hex.EncodeToString(hash[:4]))
		refs = append(refs, spdx.Licence{ID: id, Text: text, Name: l.Name + " in " + source})
		return id
	})
	if ok {
		return declared, refs
	}
	id := "LicenseRef-" + spdx.ID(p.Name, "copyright")
	return id, []spdx.Licence{{ID: id, Name: "copyright file of " + p.Name,
		Text: "See " + where + ".", Comment: "The file is not in a form that programs read."}}
}

// modulePart describes a Go module.
func modulePart(m module) (spdx.Package, []spdx.Licence, error) {
	p := spdx.Package{
		ID: "SPDXRef-" + spdx.ID("go", m.path), Name: m.path, Version: m.version,
		Supplier: spdx.NoAssertion, DownloadLocation: m.location(),
		Concluded: spdx.NoAssertion, Copyright: spdx.NoAssertion,
	}
	locator := m.path
	if m.sum == "" {
		p.Supplier, locator = "Organization: The Go Authors", "stdlib"
		p.Comment = "The standard library and run-time of Go, linked into every program."
	} else {
		sum, err := m.sha256()
		if err != nil {
			return p, nil, err
		}
		p.Checksums = []spdx.Checksum{{Algorithm: "SHA256", Value: sum}}
		p.Comment = "The checksum is Go's " + m.sum + " in hex: SHA-256 over the sorted list of the SHA-256 of the module's files, as in go.sum."
		p.Supplier = "Organization: " + owner(m.path)
	}
	var segments []string
	for s := range strings.SplitSeq(locator, "/") {
		segments = append(segments, purlEscape(s))
	}
	if m.sum == "" {
		segments = []string{"stdlib"}
	}
	p.References = []spdx.ExternalRef{spdx.PURL("pkg:golang/" + strings.Join(segments, "/") + "@" + purlEscape(m.version))}
	var licences []spdx.Licence
	var err error
	p.Declared, licences, err = moduleLicences(m)
	return p, licences, err
}

// owner is whoever a module's path names: github.com/u-root, golang.org.
func owner(path string) string {
	words := strings.Split(path, "/")
	if words[0] == "github.com" && len(words) > 1 {
		return strings.Join(words[:2], "/")
	}
	return words[0]
}

// moduleLicences names the licences in a module's files.
func moduleLicences(m module) (string, []spdx.Licence, error) {
	var terms []string
	var refs []spdx.Licence
	for _, file := range m.licences {
		base := file[strings.LastIndex(file, "/")+1:]
		if lower := strings.ToLower(base); strings.HasPrefix(lower, "patents") || strings.HasPrefix(lower, "notice") {
			continue // they add to a licence
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return "", nil, err
		}
		found := licence.Text(string(text))
		if len(found) == 0 {
			id := "LicenseRef-" + spdx.ID(m.path, base)
			refs = append(refs, spdx.Licence{ID: id, Text: string(text), Name: base + " of " + m.path})
			found = []string{id}
		}
		terms = append(terms, found...)
	}
	slices.Sort(terms)
	return licence.And(slices.Compact(terms)), refs, nil
}

// purlEscape escapes one component of a package URL.
func purlEscape(s string) string {
	return strings.NewReplacer("+", "%2B", ":", "%3A").Replace(url.PathEscape(s))
}
