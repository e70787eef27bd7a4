// Package licence finds out what licences software is under: from Debian's
// machine-readable copyright files (copyright format 1.0, "DEP-5") and from the
// licence files of Go modules. Its answers are licence expressions of SPDX 2.3
// (annex D). It takes texts at their word and gives no legal advice; what it
// does not know becomes a LicenseRef with the text.
package licence
