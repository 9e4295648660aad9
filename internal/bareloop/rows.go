package bareloop

import (
	"encoding/binary"
	"errors"

	"github.com/cespare/xxhash/v2"

	"replicator/oplog"
)

// The tables of the layout in store/doc.go, and the one bucket that there is.
const (
	tableGlobal  = 0x01
	tableOrigins = 0x02
	tableBuckets = 0x03
	tableData    = 0x10
	tableLog     = 0x11
	tableClock   = 0x12
	tableAhead   = 0x13
	tableMeta    = 0x15
	tableParts   = 0x16
	tableToken   = 0x19

	bucketID  = 1
	prefixLen = 5

	tokenCursor = 0
	tokenClaim  = 1
	tokenParts  = 5
)

// originNo is the small number that stands for an origin in keys and rows.
type originNo = uint32

func appendKey(b []byte, table byte) []byte {
	return binary.BigEndian.AppendUint32(append(b, table), bucketID)
}

func appendDataKey(b, key []byte) []byte { return append(appendKey(b, tableData), key...) }

func appendLogKey(b []byte, n originNo, seq oplog.Seq) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(appendKey(b, tableLog), n), seq)
}

func originKey(table byte, n originNo) []byte {
	return binary.BigEndian.AppendUint32(appendKey(nil, table), n)
}

func numberKey(table byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{table}, n)
}

func partKey(b []byte, part int) []byte {
	return binary.BigEndian.AppendUint16(appendKey(b, tableParts), uint16(part))
}

func tokenKey(part byte) []byte { return append(appendKey(nil, tableToken), part) }

// A stamp is that of a row, its origin as a number.
type stamp struct {
	hlc oplog.HLC
	no  originNo
	seq oplog.Seq
}

func (s stamp) isZero() bool { return s == stamp{} }

func appendStamp(b []byte, s stamp) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(s.hlc))
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(s.no)), s.seq)
}

const (
	rowV1   = 1
	rowPrev = 2
)

// appendRow encodes a row as store does.
func appendRow(b []byte, s, prev stamp, hash uint64, value []byte) []byte {
	flags := byte(0)
	if !prev.isZero() {
		flags = rowPrev
	}
	b = appendStamp(append(b, rowV1, flags), s)
	if flags != 0 {
		behind := len(b)
		b = appendStamp(b, prev)
		b = binary.BigEndian.AppendUint32(b, uint32(xxhash.Sum64(b[behind:])))
	}
	return append(binary.BigEndian.AppendUint64(b, hash), value...)
}

var errRow = errors.New("bareloop: not a row of this loop")

// A row is what can be told of an encoded one; value is a part of it.
type row struct {
	stamp, prev stamp
	hash        uint64
	value       []byte
}

func parseRow(b []byte) (r row, err error) {
	if len(b) < 2 || b[0] != rowV1 || b[1]&^rowPrev != 0 {
		return r, errRow
	}
	hasPrev := b[1] != 0
	if r.stamp, b, err = takeStamp(b[2:]); err != nil {
		return r, err
	}
	if hasPrev {
		if r.prev, b, err = takeStamp(b); err != nil || len(b) < 4 {
			return r, errRow
		}
		b = b[4:]
	}
	if len(b) < 8 {
		return r, errRow
	}
	r.hash, r.value = binary.BigEndian.Uint64(b), b[8:]
	return r, nil
}

func takeStamp(b []byte) (s stamp, rest []byte, err error) {
	if len(b) < 8 {
		return s, b, errRow
	}
	s.hlc = oplog.HLC(binary.BigEndian.Uint64(b))
	b = b[8:]
	no, size := binary.Uvarint(b)
	if size <= 0 {
		return s, b, errRow
	}
	b = b[size:]
	s.no = originNo(no)
	if s.seq, size = binary.Uvarint(b); size <= 0 {
		return s, b, errRow
	}
	return s, b[size:], nil
}

// hashOf is the hash of a row, over the same bytes as store's.
func hashOf(key, value []byte, hlc oplog.HLC, o oplog.Origin, seq oplog.Seq) uint64 {
	e := oplog.Entry{Key: key, Value: value, Stamp: oplog.Stamp{HLC: hlc, Origin: o, Seq: seq}}
	return e.Hash()
}
