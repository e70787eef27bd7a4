// Package bench measures Doppel beside the programs it is held against, in one
// run on the same devices: partclone with zstd and pigz, and dd. It holds no
// code of its own beside its benchmarks, and they need root and loop devices.
//
// What is run in turns is compared by the median of its rounds: by the clock,
// and by processor time, which means something while others use the machine.
package bench
