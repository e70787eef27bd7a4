// Package version holds the version of Doppel. It knows nothing of how it was
// built.
package version

// Number is the version of this tree.
const Number = "0.1.0"

// Tool names the program in what it writes.
const Tool = "doppel " + Number
