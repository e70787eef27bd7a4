package modules

// blacklist names modules that are not loaded because a device asks for them,
// only by name. More are named by modprobe.blacklist= on the kernel command
// line.
var blacklist = []string{
	"evbug",    // writes every key to the log, passwords too
	"floppy",   // waits for drives that are not there
	"pcspkr",   // beeps
	"snd_pcsp", // the same as a sound card
}
