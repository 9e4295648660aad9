package oplog

import (
	"cmp"
	"fmt"
)

// A Stamp decides who wins: of two writes to one key the one with the later
// stamp stays. Stamps are totally ordered by timestamp, node, epoch and seq,
// and no two writes share one. The zero Stamp is before all others.
type Stamp struct {
	HLC    HLC
	Origin Origin
	Seq    Seq
}

// Compare orders stamps; the later one wins.
func (s Stamp) Compare(t Stamp) int {
	return cmp.Or(cmp.Compare(s.HLC, t.HLC), s.Origin.Compare(t.Origin), cmp.Compare(s.Seq, t.Seq))
}

// Less reports whether s loses against t.
func (s Stamp) Less(t Stamp) bool { return s.Compare(t) < 0 }

// IsZero reports whether s is the stamp of no write.
func (s Stamp) IsZero() bool { return s == Stamp{} }

// complete reports whether s is a stamp that a write can bear.
func (s Stamp) complete() bool {
	return s.HLC != 0 && s.Origin.complete() && s.Seq != 0
}

// Dot returns the name of the write that bears s.
func (s Stamp) Dot() Dot { return Dot{Origin: s.Origin, Seq: s.Seq} }

// String returns the stamp as hlc@node/epoch:seq, hlc and epoch in hex.
func (s Stamp) String() string { return fmt.Sprintf("%s@%s", s.HLC, s.Dot()) }
