package store

import (
	"encoding/binary"

	"replicator/oplog"
)

// The tables, one prefix byte each. Numbers are never used again.
const (
	tableGlobal  = 0x01
	tableOrigins = 0x02
	tableBuckets = 0x03
	tableMembers = 0x04
	tableLeft    = 0x05

	tableData   = 0x10
	tableLog    = 0x11
	tableClock  = 0x12
	tableAhead  = 0x13
	tableGCV    = 0x14
	tableMeta   = 0x15
	tableParts  = 0x16
	tableTombs  = 0x17
	tableExpiry = 0x18
	tableToken  = 0x19
	tableLost   = 0x1a
	tableStage  = 0x1b
)

const prefixLen = 5 // table and bucket id, before the rest of a bucket's key

var (
	keyFormat = []byte{tableGlobal, 'f', 'o', 'r', 'm', 'a', 't'}
	keySelf   = []byte{tableGlobal, 's', 'e', 'l', 'f'}
)

// An originNo stands for an origin in keys and rows. Zero is never used.
type originNo = uint32

func numberKey(table byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{table}, n)
}

// bucketKey starts a key of the bucket's table, with room for more.
func bucketKey(table byte, bucket uint32, room int) []byte {
	b := make([]byte, 0, prefixLen+room)
	return binary.BigEndian.AppendUint32(append(b, table), bucket)
}

// bucketRange returns the bounds of the bucket's table.
func bucketRange(table byte, bucket uint32) (lower, upper []byte) {
	lower = bucketKey(table, bucket, 0)
	return lower, after(lower)
}

// after returns the lowest key above all keys that begin with prefix, nil if
// there is none.
func after(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}

func dataKey(bucket uint32, key []byte) []byte {
	return append(bucketKey(tableData, bucket, len(key)), key...)
}

func logKey(bucket uint32, n originNo, seq oplog.Seq) []byte {
	b := binary.BigEndian.AppendUint32(bucketKey(tableLog, bucket, 12), n)
	return binary.BigEndian.AppendUint64(b, seq)
}

func originKey(table byte, bucket uint32, n originNo) []byte {
	return binary.BigEndian.AppendUint32(bucketKey(table, bucket, 4), n)
}

func partKey(bucket uint32, part int) []byte {
	return binary.BigEndian.AppendUint16(bucketKey(tableParts, bucket, 2), uint16(part))
}

// indexKey is the key of a row in one of the two indexes of what may be
// collected one day, and whether the row is in one at all.
func indexKey(bucket uint32, e *oplog.Entry) ([]byte, bool) {
	table, at := byte(tableTombs), uint64(e.Stamp.HLC)
	if !e.Tombstone {
		if e.Expiry == 0 {
			return nil, false
		}
		table, at = tableExpiry, uint64(e.Expiry)
	}
	b := binary.BigEndian.AppendUint64(bucketKey(table, bucket, 8+len(e.Key)), at)
	return append(b, e.Key...), true
}

// The parts of a token.
const (
	tokenCursor = iota
	tokenClaim
	tokenGuard
	tokenGate
	tokenAhead

	tokenParts
)

func tokenKey(bucket uint32, part byte) []byte {
	return append(bucketKey(tableToken, bucket, 1), part)
}

func stageKey(bucket uint32, key []byte) []byte {
	return append(bucketKey(tableStage, bucket, len(key)), key...)
}

func encodeUint64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
