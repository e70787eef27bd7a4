package spdx

import (
	"bytes"
	"testing"
	"time"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdxlib"
)

// The order of what is added does not show, and the SPDX project's own library
// reads back what was written.
func TestEncode(t *testing.T) {
	part := func(name string) Package {
		return Package{ID: "SPDXRef-" + ID("deb", name), Name: name, Version: "1", DownloadLocation: NoAssertion,
			Concluded: NoAssertion, Declared: "LicenseRef-x", Copyright: NoAssertion,
			References: []ExternalRef{PURL("pkg:deb/debian/" + name + "@1")}}
	}
	licence := Licence{ID: "LicenseRef-x", Text: "Do what you like."}
	encode := func(names ...string) []byte {
		product := part("product")
		product.ID = "SPDXRef-product"
		d := New(product, "urn:uuid:0", "test", time.Unix(1e9, 0))
		for _, name := range names {
			d.Add(part(name), licence)
		}
		text, err := d.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	text := encode("b", "a", "c++")
	if !bytes.Equal(text, encode("c++", "b", "a")) {
		t.Error("the order of the parts shows")
	}
	d, err := json.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(d); err != nil {
		t.Error(err)
	}
	if len(d.Packages) != 4 || len(d.OtherLicenses) != 1 || len(d.Relationships) != 4 {
		t.Errorf("%d packages, %d licences, %d relationships", len(d.Packages), len(d.OtherLicenses), len(d.Relationships))
	}
	if p := d.Packages[1]; p.PackageName != "a" || p.PackageExternalReferences[0].Locator != "pkg:deb/debian/a@1" {
		t.Errorf("first part: %+v", p)
	}
	if d.CreationInfo.Created != "2001-09-09T01:46:40Z" {
		t.Errorf("made at %s", d.CreationInfo.Created)
	}
}

func TestID(t *testing.T) {
	for want, words := range map[string][]string{
		"deb-libstdc..6":       {"deb", "libstdc++6"},
		"go-github.com-a-b-v2": {"go", "github.com/a/b/v2"},
		"x-y-z":                {"x_y z"},
	} {
		if got := ID(words...); got != want {
			t.Errorf("%q: %s, want %s", words, got, want)
		}
	}
}
