// Package vm runs machines for tests: QEMU with serial console, QMP and a
// screen to look at, and a sample system to save and restore. It is imported
// by tests and by the builder only, never by a command of the live system.
package vm
