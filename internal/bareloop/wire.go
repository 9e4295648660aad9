package bareloop

import (
	"encoding/binary"
	"errors"

	"replicator/oplog"
)

// A message of a group: its origin, first seq and how many, and each entry's
// timestamp, the stamp that it replaces, key and value.

func appendHead(b []byte, o oplog.Origin, first, count uint64) []byte {
	b = appendOrigin(b, o)
	return binary.AppendUvarint(binary.AppendUvarint(b, first), count)
}

func appendOrigin(b []byte, o oplog.Origin) []byte {
	b = binary.BigEndian.AppendUint64(b, o.Epoch)
	return append(append(b, byte(len(o.Node))), o.Node...)
}

func (s *Store) appendEntry(b []byte, st, prev stamp, op *Op) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(st.hlc))
	if prev.isZero() {
		b = append(b, 0)
	} else {
		b = binary.BigEndian.AppendUint64(append(b, 1), uint64(prev.hlc))
		b = binary.AppendUvarint(appendOrigin(b, s.origins[prev.no-1]), prev.seq)
	}
	return appendBytes(appendBytes(b, op.Key), op.Value)
}

func appendBytes(b, field []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(field))), field...)
}

var errMessage = errors.New("bareloop: not a message of this loop")

// A decoder takes fields from the front of b. After an error all are zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) take(n uint64) []byte {
	if d.err != nil || n > uint64(len(d.b)) {
		d.err = errMessage
		return nil
	}
	field := d.b[:n:n]
	d.b = d.b[n:]
	return field
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.err = errMessage
		return 0
	}
	d.take(uint64(size))
	return n
}

func (d *decoder) bytes() []byte { return d.take(d.uvarint()) }

func (d *decoder) origin() oplog.Origin {
	epoch := d.uint64()
	return oplog.Origin{Epoch: epoch, Node: string(d.take(uint64(d.byte())))}
}

func (d *decoder) head() (o oplog.Origin, first, count uint64) {
	o = d.origin()
	return o, d.uvarint(), d.uvarint()
}

// stamp takes the timestamp of an entry and the stamp that it replaces, its origin as
// the number that s has for it. Without s it is passed over.
func (d *decoder) stamp(s *Store) (hlc oplog.HLC, prev stamp) {
	hlc = oplog.HLC(d.uint64())
	if d.byte() == 0 {
		return hlc, stamp{}
	}
	prev.hlc = oplog.HLC(d.uint64())
	o := d.origin()
	if prev.seq = d.uvarint(); d.err == nil && s != nil {
		prev.no = s.number(o)
	}
	return hlc, prev
}
