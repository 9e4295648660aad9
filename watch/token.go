package watch

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"replicator/oplog"
)

// ErrBadToken reports a token that is none of a watch of this bucket.
var ErrBadToken = errors.New("replicator: no token of a watch of this bucket")

// A token is, in base64: a byte 1, the bucket's name behind its length, the number
// of origins, of each in order the name of the node behind its length, the epoch in 8
// bytes and the seq, the highest timestamp in 8 bytes, and CRC-32 (IEEE) of all that in 4 bytes. Numbers are varints. It
// names no node that gave it: any that holds the bucket can go on from it.
const tokenV1 = 1

// tokenText is strict: one token has one text.
var tokenText = base64.RawURLEncoding.Strict()

// maxToken is more than the largest clock takes.
const maxToken = oplog.MaxClock * 96

func token(bucket string, clock oplog.Clock, high oplog.HLC) string {
	b := []byte{tokenV1}
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	text(bucket)
	b = binary.AppendUvarint(b, uint64(len(clock)))
	for _, o := range clock.Origins() {
		text(o.Node)
		b = binary.BigEndian.AppendUint64(b, o.Epoch)
		b = binary.AppendUvarint(b, clock[o])
	}
	b = binary.BigEndian.AppendUint64(b, uint64(high))
	return tokenText.EncodeToString(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)))
}

func parseToken(bucket, token string) (clock oplog.Clock, high oplog.HLC, err error) {
	if len(token) > maxToken {
		return nil, 0, fmt.Errorf("%w: it has %d bytes", ErrBadToken, len(token))
	}
	b, err := tokenText.DecodeString(token)
	if err != nil || len(b) < 5 || b[0] != tokenV1 {
		return nil, 0, ErrBadToken
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.ChecksumIEEE(body) != sum {
		return nil, 0, fmt.Errorf("%w: it is damaged, or a part of one", ErrBadToken)
	}
	r := tokenReader{b: body[1:]}
	if name := r.text(); name != bucket {
		return nil, 0, fmt.Errorf("%w: it is of bucket %.64q", ErrBadToken, name)
	}
	clock = oplog.Clock{}
	for n := r.number(); n > 0 && !r.bad; n-- {
		o := oplog.Origin{Node: r.text(), Epoch: r.uint64()}
		clock[o] = r.number()
		if r.bad = r.bad || !oplog.ValidName(o.Node) || clock[o] == 0 || len(clock) > oplog.MaxClock; r.bad {
			break
		}
	}
	high = oplog.HLC(r.uint64())
	if r.bad || len(r.b) > 0 {
		return nil, 0, ErrBadToken
	}
	return clock, high, nil
}

// A tokenReader reads until something does not fit.
type tokenReader struct {
	b   []byte
	bad bool
}

func (r *tokenReader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *tokenReader) text() string { return string(r.take(r.number())) }

func (r *tokenReader) uint64() uint64 {
	if b := r.take(8); len(b) == 8 {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *tokenReader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return slices.Clip(taken)
}
