// Package spdx holds a bill of materials as an SPDX 2.3 document in JSON: the
// packages of one product with their versions, licences and checksums. The
// words are those of the SPDX specification 2.3 and its JSON schema. It lists
// packages only, no files, and reads no documents.
package spdx

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// NoAssertion says that nothing is claimed.
const NoAssertion = "NOASSERTION"

// Document is a bill of materials. What Add puts in is ordered by
// Encode: equal contents give equal bytes.
type Document struct {
	Version       string         `json:"spdxVersion"`
	DataLicense   string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	Creation      Creation       `json:"creationInfo"`
	Comment       string         `json:"comment,omitempty"`
	Packages      []Package      `json:"packages"`
	Licences      []Licence      `json:"hasExtractedLicensingInfos,omitempty"`
	Relationships []Relationship `json:"relationships"`
}

// Creation says who made a document and when.
type Creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

// Package is one part of the product.
type Package struct {
	ID               string        `json:"SPDXID"`
	Name             string        `json:"name"`
	Version          string        `json:"versionInfo"`
	FileName         string        `json:"packageFileName,omitempty"`
	Supplier         string        `json:"supplier,omitempty"`
	DownloadLocation string        `json:"downloadLocation"`
	FilesAnalyzed    bool          `json:"filesAnalyzed"`
	Checksums        []Checksum    `json:"checksums,omitempty"`
	SourceInfo       string        `json:"sourceInfo,omitempty"`
	Concluded        string        `json:"licenseConcluded"`
	Declared         string        `json:"licenseDeclared"`
	Copyright        string        `json:"copyrightText"`
	Comment          string        `json:"comment,omitempty"`
	References       []ExternalRef `json:"externalRefs,omitempty"`
}

// Checksum is a hash of a package, in hex.
type Checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

// ExternalRef is what a package is called elsewhere.
type ExternalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

// Licence is one that the SPDX licence list does not have.
type Licence struct {
	ID      string `json:"licenseId"` // LicenseRef-…
	Text    string `json:"extractedText"`
	Name    string `json:"name,omitempty"`
	Comment string `json:"comment,omitempty"`
}

// Relationship ties two elements by their IDs.
type Relationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

const documentID = "SPDXRef-DOCUMENT"

// New returns a document that describes one product.
func New(product Package, namespace, creator string, created time.Time) *Document {
	return &Document{
		Version:     "SPDX-2.3",
		DataLicense: "CC0-1.0",
		ID:          documentID,
		Name:        product.Name + "-" + product.Version,
		Namespace:   namespace,
		Creation: Creation{
			Created:  created.UTC().Format(time.RFC3339),
			Creators: []string{"Tool: " + creator},
		},
		Packages:      []Package{product},
		Relationships: []Relationship{{documentID, "DESCRIBES", product.ID}},
	}
}

// Add puts a part into the product, with those of its licences that the SPDX
// licence list does not have. Equal IDs mean one licence.
func (d *Document) Add(p Package, licences ...Licence) {
	d.Packages = append(d.Packages, p)
	for _, l := range licences {
		if !slices.ContainsFunc(d.Licences, func(old Licence) bool { return old.ID == l.ID }) {
			d.Licences = append(d.Licences, l)
		}
	}
	d.Relationships = append(d.Relationships, Relationship{d.Packages[0].ID, "CONTAINS", p.ID})
}

// Encode returns the document as JSON.
func (d *Document) Encode() ([]byte, error) {
	slices.SortFunc(d.Packages[1:], func(a, b Package) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(d.Relationships[1:], func(a, b Relationship) int { return strings.Compare(a.Related, b.Related) })
	slices.SortFunc(d.Licences, func(a, b Licence) int { return strings.Compare(a.ID, b.ID) })
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(d)
	return []byte(text.String()), err
}

// ID joins words to what may stand behind SPDXRef- or LicenseRef-: letters,
// digits, dot and hyphen.
func ID(words ...string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '-':
			return r
		case r == '+':
			return '.' // as in libstdc++6
		}
		return '-'
	}, strings.Join(words, "-"))
}

// PURL is the reference by a package URL.
func PURL(locator string) ExternalRef {
	return ExternalRef{"PACKAGE-MANAGER", "purl", locator}
}
