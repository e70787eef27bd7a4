// Package acceptance holds the tests that boot what was built: every way to
// start the image, and the whole way from a disk through the menu to a
// restored disk that boots. It holds no code for anybody else.
package acceptance
