package store

import (
	"encoding/binary"
	"errors"

	"github.com/cespare/xxhash/v2"

	"replicator/oplog"
)

// A row is the winning entry of its key, with its row hash.
type row struct {
	oplog.Entry
	hash uint64
	bad  bool // what lies on the disk is not what was written: see decodeAny
}

func newRow(e oplog.Entry) *row { return &row{Entry: e, hash: e.Hash()} }

// counts reports whether the row is part of the bucket's hash: tombstones and
// rows with an expiry go at different times at different nodes.
func (r *row) counts() bool { return !r.Tombstone && r.Expiry == 0 }

// torn reports whether nothing of the row could be read but its key.
func (r *row) torn() bool { return r.bad && r.Stamp.IsZero() }

const rowV1 = 1

const (
	rowTombstone = 1 << iota
	rowPrev
	rowExpiry
	rowBatch
	rowTyped
	rowKnown   = 1<<iota - 1
	rowChecked = rowPrev | rowBatch
)

var (
	errRowShort   = errors.New("row ends early")
	errRowVersion = errors.New("row of an unknown version")
	errRowFlags   = errors.New("row with unknown flags")
	errRowOrigin  = errors.New("row of an unknown origin")
	errRowField   = errors.New("row with an impossible field")
	errRowHash    = errors.New("the contents are not those of the row's hash")
)

// appendRow encodes r without its key. number gives the numbers of origins.
//
//	version 1, flags, hlc 8, origin uvarint, seq uvarint,
//	[prev: hlc 8, origin uvarint, seq uvarint], [expiry uvarint],
//	[batch: back uvarint, ahead uvarint], [check 4], [type: length 1, type],
//	row hash 8, value
//
// The check is there with prev or batch, which the row hash leaves out: it is the
// low half of the xxHash64 of all behind the stamp.
func appendRow(b []byte, r *row, number func(oplog.Origin) originNo) []byte {
	start := len(b)
	b = append(b, rowV1, rowFlags(&r.Entry))
	b = appendStamp(b, &r.Stamp, number)
	behind := len(b)
	if !r.Prev.IsZero() {
		b = appendStamp(b, &r.Prev, number)
	}
	if r.Expiry != 0 {
		b = binary.AppendUvarint(b, uint64(r.Expiry))
	}
	if r.BatchBack != 0 || r.BatchAhead != 0 {
		b = binary.AppendUvarint(b, uint64(r.BatchBack))
		b = binary.AppendUvarint(b, uint64(r.BatchAhead))
	}
	if b[start+1]&rowChecked != 0 {
		b = binary.BigEndian.AppendUint32(b, uint32(xxhash.Sum64(b[behind:])))
	}
	if r.Type != "" {
		b = append(append(b, byte(len(r.Type))), r.Type...)
	}
	b = binary.BigEndian.AppendUint64(b, r.hash)
	return append(b, r.Value...)
}

func rowFlags(e *oplog.Entry) (flags byte) {
	if e.Tombstone {
		flags |= rowTombstone
	}
	if !e.Prev.IsZero() {
		flags |= rowPrev
	}
	if e.Expiry != 0 {
		flags |= rowExpiry
	}
	if e.BatchBack != 0 || e.BatchAhead != 0 {
		flags |= rowBatch
	}
	if e.Type != "" {
		flags |= rowTyped
	}
	return flags
}

func appendStamp(b []byte, s *oplog.Stamp, number func(oplog.Origin) originNo) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(s.HLC))
	b = binary.AppendUvarint(b, uint64(number(s.Origin)))
	return binary.AppendUvarint(b, s.Seq)
}

// decodeRow reads what appendRow wrote. The row's value is part of b, its key
// is left empty. Any bytes are safe to try. One whose check does not hold is bad.
func decodeRow(b []byte, origin func(originNo) (oplog.Origin, bool)) (*row, error) {
	d := rowDecoder{b: b, origin: origin}
	if d.byte() != rowV1 {
		d.fail(errRowVersion)
	}
	flags := d.byte()
	if flags&^rowKnown != 0 {
		d.fail(errRowFlags)
	}
	r := &row{}
	r.Tombstone = flags&rowTombstone != 0
	d.stamp(&r.Stamp)
	behind := d.b
	if flags&rowPrev != 0 {
		d.stamp(&r.Prev)
	}
	if flags&rowExpiry != 0 {
		r.Expiry = int64(d.uvarint(1, 1<<63-1))
	}
	if flags&rowBatch != 0 {
		r.BatchBack = uint32(d.uvarint(0, 1<<32-1))
		r.BatchAhead = uint32(d.uvarint(0, 1<<32-1))
	}
	if flags&rowChecked != 0 {
		behind = behind[:len(behind)-len(d.b)]
		r.bad = d.uint32() != uint32(xxhash.Sum64(behind))
	}
	if flags&rowTyped != 0 {
		r.Type = d.text()
	}
	r.hash = d.uint64()
	if len(d.b) > oplog.MaxValue || r.Tombstone && len(d.b) > 0 {
		d.fail(errRowField)
	}
	if d.err != nil {
		return nil, d.err
	}
	r.Value = d.b
	return r, nil
}

// A rowDecoder takes fields from the front of b. After the first error it
// takes nothing more.
type rowDecoder struct {
	b      []byte
	origin func(originNo) (oplog.Origin, bool)
	err    error
}

func (d *rowDecoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *rowDecoder) byte() byte {
	if d.err != nil || len(d.b) < 1 {
		d.fail(errRowShort)
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

// text takes a text behind its length, which is not 0. What the row hash does not
// vouch for is seen by its reader.
func (d *rowDecoder) text() string {
	n := int(d.byte())
	if d.err == nil && n == 0 {
		d.fail(errRowField)
	}
	if d.err != nil || len(d.b) < n {
		d.fail(errRowShort)
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *rowDecoder) uint32() uint32 {
	if d.err != nil || len(d.b) < 4 {
		d.fail(errRowShort)
		return 0
	}
	n := binary.BigEndian.Uint32(d.b)
	d.b = d.b[4:]
	return n
}

func (d *rowDecoder) uint64() uint64 {
	if d.err != nil || len(d.b) < 8 {
		d.fail(errRowShort)
		return 0
	}
	n := binary.BigEndian.Uint64(d.b)
	d.b = d.b[8:]
	return n
}

func (d *rowDecoder) uvarint(low, high uint64) uint64 {
	if d.err != nil {
		return 0
	}
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.fail(errRowShort)
		return 0
	}
	if n < low || n > high {
		d.fail(errRowField)
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *rowDecoder) stamp(s *oplog.Stamp) {
	s.HLC = oplog.HLC(d.uint64())
	n := d.uvarint(1, 1<<32-1)
	s.Seq = d.uvarint(1, 1<<64-1)
	if d.err != nil {
		return
	}
	o, ok := d.origin(originNo(n))
	if !ok || s.HLC == 0 {
		d.fail(errRowOrigin)
	}
	s.Origin = o
}
