package oplog

import (
	"errors"
	"fmt"
)

// maxEntries is the most entries one message may hold.
const maxEntries = 1 << 17

// A Live message carries the writes First..Last of an origin as they were
// committed. It covers that range completely: a seq missing from Entries was
// overwritten by a later entry of the same message. A write too large for one
// message is announced: Size is set, Entries is empty, and receivers pull.
type Live struct {
	Bucket      string
	Origin      Origin
	First, Last Seq
	Nonce       Nonce // of the instance that publishes
	Size        uint64
	Entries     []Entry // in order of seq
}

// Announced reports whether m only tells of writes that have to be pulled.
func (m *Live) Announced() bool { return m.Size > 0 }

func (*Live) kind() Kind { return KindLive }

func (m *Live) code(c coder) {
	c.str("bucket", &m.Bucket)
	c.origin("origin", &m.Origin)
	c.uint("first", &m.First)
	c.uint("last", &m.Last)
	c.nonce("nonce", &m.Nonce)
	c.uint("size", &m.Size)
	codeList(c, "entries", &m.Entries, maxEntries, codeEntry)
}

func (m *Live) check() error {
	if !ValidName(m.Bucket) || !m.Origin.complete() {
		return errors.New("bad bucket or origin")
	}
	if m.First == 0 || m.Last < m.First {
		return fmt.Errorf("bad range %d..%d", m.First, m.Last)
	}
	if m.Announced() {
		if len(m.Entries) > 0 {
			return errors.New("announced with entries")
		}
		return nil
	}
	return m.checkEntries()
}

// checkEntries wants the entries in order and the range to end with one: the
// last write of a range cannot have been overwritten within it.
func (m *Live) checkEntries() error {
	at := m.First - 1
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Stamp.Origin != m.Origin || e.Stamp.Seq <= at || e.Stamp.Seq > m.Last {
			return fmt.Errorf("entry %s outside %s %d..%d", e.Dot(), m.Origin, m.First, m.Last)
		}
		at = e.Stamp.Seq
	}
	if at != m.Last {
		return fmt.Errorf("range ends at %d, last entry is %d", m.Last, at)
	}
	return nil
}

// codeEntry visits an entry. A reader checks it at once: a list of entries that
// cost a byte each ends at the first.
func codeEntry(c coder, e *Entry) {
	c.object("", 10, func(c coder) {
		c.data("key", &e.Key)
		c.data("value", &e.Value)
		c.word("hlc", (*uint64)(&e.Stamp.HLC))
		c.origin("origin", &e.Stamp.Origin)
		c.uint("seq", &e.Stamp.Seq)
		codeFlags(c, e)
		c.int("expiry", &e.Expiry)
		c.str("type", &e.Type)
		codePrev(c, e)
		codeBatch(c, e)
	})
	if c.reading() {
		c.fail(e.Check())
	}
}

// codeFlags visits the flags as a number, so that a flag that is not known here
// is seen and refused instead of being dropped.
func codeFlags(c coder, e *Entry) {
	flags := uint64(e.flags())
	c.uint("flags", &flags)
	if flags&^flagTombstone != 0 {
		c.fail(fmt.Errorf("%w: flags %#x", ErrKind, flags))
	}
	if c.reading() {
		e.Tombstone = flags&flagTombstone != 0
	}
}

// codePrev visits the replaced stamp as a list of none or one.
func codePrev(c coder, e *Entry) {
	var prev []Stamp
	if !e.Prev.IsZero() {
		prev = []Stamp{e.Prev}
	}
	codeList(c, "prev", &prev, 1, func(c coder, s *Stamp) { codeStamp(c, "", s) })
	if !c.reading() || len(prev) == 0 {
		return
	}
	e.Prev = prev[0]
	if e.Prev.IsZero() {
		c.fail(errors.New("prev: no stamp"))
	}
}

// codeBatch visits the place in an atomic batch as a list of none or two.
func codeBatch(c coder, e *Entry) {
	var batch []uint32
	if e.BatchBack != 0 || e.BatchAhead != 0 {
		batch = []uint32{e.BatchBack, e.BatchAhead}
	}
	codeList(c, "batch", &batch, 2, func(c coder, n *uint32) { codeUint32(c, "", n) })
	if !c.reading() || len(batch) == 0 {
		return
	}
	if len(batch) != 2 || batch[0] == 0 && batch[1] == 0 {
		c.fail(errors.New("batch: not a place in one"))
		return
	}
	e.BatchBack, e.BatchAhead = batch[0], batch[1]
}
