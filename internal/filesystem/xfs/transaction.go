package xfs

import (
	"errors"
	"fmt"

	"doppel.live/internal/extent"
)

// The data of a record are operations, h_num_logops of them. Their heads are
// big-endian:
//
//	0    4   oh_tid, the transaction     8    1    oh_clientid
//	4    4   oh_len, bytes that follow   9    1    oh_flags
//
// What follows the head is a region, or part of one that goes on in the next
// record. From here on numbers are in the order of the machine that wrote
// them. The first region of a transaction is its name of 16 bytes that begin
// with "TRAN"; the others are items. The first region of an item begins with
//
//	0    2   type                        2    2    number of its regions
const (
	opHead      = 12
	clientTrans = 0x69 // XFS_TRANSACTION
	clientLog   = 0xAA // XFS_LOG

	opStart    = 0x01 // XLOG_START_TRANS
	opCommit   = 0x02 // XLOG_COMMIT_TRANS
	opContinue = 0x04 // XLOG_CONTINUE_TRANS, in the next record
	opWasCont  = 0x08 // XLOG_WAS_CONT_TRANS
	opEnd      = 0x10 // XLOG_END_TRANS, of a region that was continued
	opUnmount  = 0x20 // XLOG_UNMOUNT_TRANS

	transMagic = 0x5452414E
	maxRegion  = 1 << 20 // bytes; the largest are buffers and values of attributes, 64 KiB
	maxOpen    = 1 << 14 // transactions that were begun and not committed
)

// transaction is one that was begun and not yet committed. Recovery does
// nothing of it before its commit, and nothing at all where there is none.
type transaction struct {
	p         *replay
	lsn       uint64 // of the record in which it began
	named     bool
	continued bool
	partial   []byte // of the region that is continued
	left      int    // regions that belong to the present item
	item      *bufferItem
	touched   []extent.Extent // see replay
	done      []change
}

// operations walks over the operations of a record.
func (p *replay) operations(r *record) error {
	data, n := r.data, be.Uint32(r.head[40:])
	at := func() int64 { return int64(len(r.data) - len(data)) }
	for range n {
		if len(data) < opHead || be.Uint32(data[4:]) > uint32(len(data)-opHead) {
			return p.f.log.errorf(r.at, 0, "an operation at byte %d of a record of the log reaches beyond it", at())
		}
		end := opHead + int(be.Uint32(data[4:]))
		err := p.operation(r, data[:end])
		if problem := problem(""); errors.As(err, &problem) {
			return p.f.log.errorf(r.at, 0, "operation at byte %d of a record of the log: %v", at(), problem)
		}
		if err != nil {
			return err
		}
		data = data[end:]
	}
	return nil
}

func (p *replay) operation(r *record, op []byte) error {
	id, client, flags, data := be.Uint32(op), op[8], op[9], op[opHead:]
	t := p.open[id]
	switch {
	case client != clientTrans && client != clientLog:
		return problemf("of client %#x", client)
	case flags&opUnmount != 0:
		return nil
	case flags == opStart:
		if t != nil || len(data) > 0 || len(p.open) >= maxOpen {
			return problemf("transaction %#x begins twice, or is one of too many", id)
		}
		p.open[id] = &transaction{p: p, lsn: r.lsn()}
		return nil
	case flags&^(opCommit|opContinue|opWasCont|opEnd) != 0:
		return problemf("with flags %#x", flags)
	case t == nil:
		// It began before the tail: all that it did is in its place.
		return nil
	case flags == opCommit:
		delete(p.open, id)
		return t.commit()
	case flags&opCommit != 0:
		return problemf("with flags %#x", flags)
	}
	return t.piece(data, flags)
}

// piece takes a region or part of one.
func (t *transaction) piece(data []byte, flags byte) error {
	if t.continued != (flags&opWasCont != 0) {
		return problemf("a region is not continued as it should be")
	}
	if t.continued || flags&opContinue != 0 {
		if len(t.partial)+len(data) > maxRegion {
			return problemf("a region of more than %d bytes", maxRegion)
		}
		t.partial = append(t.partial, data...)
		data = t.partial
	}
	t.continued = flags&opContinue != 0
	if t.continued {
		return nil
	}
	t.partial = nil
	return t.region(data)
}

// region takes a whole region.
func (t *transaction) region(data []byte) error {
	if !t.named {
		if len(data) != 16 || le.Uint32(data) != transMagic {
			return problemf("no name of a transaction")
		}
		t.named = true
		return nil
	}
	if t.left == 0 {
		if len(data) < 4 || le.Uint16(data[2:]) == 0 {
			return problemf("an item of %d bytes", len(data))
		}
		t.left = int(le.Uint16(data[2:]))
		if err := t.begin(data); err != nil {
			return err
		}
	} else if t.item != nil {
		if err := t.item.region(data); err != nil {
			return err
		}
	}
	if t.left--; t.left == 0 && t.item != nil {
		item := t.item
		t.item = nil
		return t.end(item)
	}
	return nil
}

// commit lets all that the transaction did happen.
func (t *transaction) commit() error {
	if t.left != 0 || t.continued {
		return problemf("a transaction is committed before its end")
	}
	for _, e := range t.touched {
		if err := t.p.touch(e); err != nil {
			return err
		}
	}
	for _, c := range t.done {
		if err := t.p.change(c, t.lsn); err != nil {
			return err
		}
		t.p.held -= c.held()
	}
	return nil
}

// problem is what is wrong in an operation; where it lies is said by who called.
type problem string

func (p problem) Error() string { return string(p) }

func problemf(format string, args ...any) error { return problem(fmt.Sprintf(format, args...)) }
