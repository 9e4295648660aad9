package oplog

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// A Clock is a version vector, and a promise: for every write it covers, its
// holder has that write or one that beat it. A nil Clock covers nothing and may
// be read; a missing origin counts as zero, and no row holds a zero.
type Clock map[Origin]Seq

// Covers reports whether d is under the clock.
func (c Clock) Covers(d Dot) bool { return d.Seq <= c[d.Origin] }

// GE reports whether c covers all that d covers.
func (c Clock) GE(d Clock) bool {
	for o, seq := range d {
		if c[o] < seq {
			return false
		}
	}
	return true
}

// Equal reports whether c and d cover the same writes.
func (c Clock) Equal(d Clock) bool { return c.GE(d) && d.GE(c) }

// Join raises c to the pointwise maximum of c and d. c must not be nil.
func (c Clock) Join(d Clock) {
	for o, seq := range d {
		if seq > c[o] {
			c[o] = seq
		}
	}
}

// Meet returns the pointwise minimum of c and d.
func (c Clock) Meet(d Clock) Clock {
	m := Clock{}
	for o, seq := range c {
		if low := min(seq, d[o]); low > 0 {
			m[o] = low
		}
	}
	return m
}

// Above returns the rows of c that d does not cover.
func (c Clock) Above(d Clock) Clock {
	m := Clock{}
	for o, seq := range c {
		if seq > d[o] {
			m[o] = seq
		}
	}
	return m
}

// Fold returns the rows of c that finals does not have as they are: rule I5. Where
// c covers finals, Unfold makes c of it again. Where it does not, a row left out
// would stand for writes that c lacks: then c has to travel whole.
func (c Clock) Fold(finals Clock) Clock {
	m := Clock{}
	for o, seq := range c {
		if seq != finals[o] {
			m[o] = seq
		}
	}
	return m
}

// Unfold returns the clock that Fold made c of.
func (c Clock) Unfold(finals Clock) Clock {
	m := make(Clock, len(c)+len(finals))
	m.Join(finals)
	m.Join(c)
	return m
}

// Lag returns by how many seqs d exceeds c, summed over all origins. A sum that
// does not fit reads as the largest number.
func (c Clock) Lag(d Clock) uint64 {
	var n uint64
	for o, seq := range d {
		if seq <= c[o] {
			continue
		}
		more := seq - c[o]
		if n+more < n {
			return 1<<64 - 1
		}
		n += more
	}
	return n
}

// Clone returns a copy of c that is never nil.
func (c Clock) Clone() Clock {
	d := make(Clock, len(c))
	maps.Copy(d, c)
	return d
}

// rows returns the rows of c in order of origin.
func (c Clock) rows() []Dot {
	rows := make([]Dot, 0, len(c))
	for _, o := range c.Origins() {
		if c[o] > 0 {
			rows = append(rows, Dot{Origin: o, Seq: c[o]})
		}
	}
	return rows
}

// Origins returns the origins of c in order.
func (c Clock) Origins() []Origin {
	return slices.SortedFunc(maps.Keys(c), Origin.Compare)
}

// ClockParts is into how many sub-hashes a clock is cut when two clocks are
// compared without sending either.
const ClockParts = 256

// A ClockHash is the hash of a clock, kept by adding and removing rows: Parts
// holds the sums of the row hashes by origin, Sum the sum over all. Equal
// clocks have equal hashes; the hash of an empty clock is zero.
type ClockHash struct {
	Sum   uint64
	Parts [ClockParts]uint64
}

// Move replaces the row (o, from) by (o, to). Zero stands for no row.
func (h *ClockHash) Move(o Origin, from, to Seq) {
	delta := clockRowHash(o, to) - clockRowHash(o, from)
	h.Sum += delta
	h.Parts[ClockPart(o)] += delta
}

// HashClock returns the hash of c.
func HashClock(c Clock) ClockHash {
	var h ClockHash
	for o, seq := range c {
		h.Move(o, 0, seq)
	}
	return h
}

// ClockPart returns in which part of a ClockHash the origin counts.
func ClockPart(o Origin) int {
	return int(clockRowHash(o, 1<<64-1) % ClockParts)
}

// HashFinals returns the hash of a list of finals, by bucket. It is zero for an
// empty one.
func HashFinals(finals map[string]Clock) uint64 {
	var sum uint64
	for bucket, clock := range finals {
		name := append([]byte(bucket), 0)
		for o, seq := range clock {
			sum += rowHash(name, o, seq)
		}
	}
	return sum
}

func clockRowHash(o Origin, seq Seq) uint64 {
	if seq == 0 {
		return 0
	}
	return rowHash(nil, o, seq)
}

func rowHash(prefix []byte, o Origin, seq Seq) uint64 {
	b := make([]byte, 0, 192)
	b = append(append(b, prefix...), o.Node...)
	b = binary.BigEndian.AppendUint64(append(b, 0), o.Epoch)
	b = binary.BigEndian.AppendUint64(b, seq)
	return xxhash.Sum64(b)
}
