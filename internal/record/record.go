// Package record holds what travels between a source and a target: extents
// with their data. Who saves to an image, to a device or to other machines
// reads and writes records; the engine moves them.
package record

// Record is a piece of one volume with its data.
type Record struct {
	Volume int    // index in the image's list of volumes
	Offset int64  // bytes from the start of the volume
	Data   []byte // belongs to the producer; valid until the next call
}

// Reader gives the records of one volume, ascending; io.EOF behind the last.
type Reader interface {
	ReadRecord() (Record, error)
}

// Writer takes records, ascending within one volume. It does not keep Data.
type Writer interface {
	WriteRecord(Record) error
}
