package oplog

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// A Seq is the place of a write among the writes of its origin in one bucket.
// The first write has seq 1; seqs are contiguous as issued. Zero means none.
type Seq = uint64

// An Epoch tells the lives of a node apart: 64 random bits, drawn at the first
// local write after a start and never used again. Zero means none was drawn.
type Epoch = uint64

// An Origin is who first took a write: a node in one of its epochs. A node owns
// many origins over time; it writes only to the newest.
type Origin struct {
	Node  string
	Epoch Epoch
}

// String returns the origin as node/epoch, the epoch as 16 hex digits.
func (o Origin) String() string {
	return fmt.Sprintf("%s/%016x", o.Node, o.Epoch)
}

// IsZero reports whether o names nobody.
func (o Origin) IsZero() bool { return o == Origin{} }

// complete reports whether o is an origin that a write can have.
func (o Origin) complete() bool { return ValidName(o.Node) && o.Epoch != 0 }

// Compare orders origins by node, then by epoch.
func (o Origin) Compare(p Origin) int {
	return cmp.Or(strings.Compare(o.Node, p.Node), cmp.Compare(o.Epoch, p.Epoch))
}

// ParseOrigin reads what Origin.String wrote.
func ParseOrigin(s string) (Origin, error) {
	node, hex, ok := strings.Cut(s, "/")
	epoch, err := parseHex64(hex)
	if !ok || !ValidName(node) || err != nil {
		return Origin{}, fmt.Errorf("origin %q: want node/16 hex digits", clip(s))
	}
	return Origin{Node: node, Epoch: epoch}, nil
}

// parseHex64 reads 64 bits written as exactly 16 hex digits.
func parseHex64(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 16, 64)
	if len(s) != 16 || err != nil {
		return 0, fmt.Errorf("%q: want 16 hex digits", clip(s))
	}
	return n, nil
}

// A Dot names one write for ever: its origin and its place there.
type Dot struct {
	Origin Origin
	Seq    Seq
}

// String returns the dot as node/epoch:seq.
func (d Dot) String() string { return fmt.Sprintf("%s:%d", d.Origin, d.Seq) }

// ParseDot reads what Dot.String writes.
func ParseDot(s string) (Dot, error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return Dot{}, fmt.Errorf("write %q: want node/16 hex digits:number", clip(s))
	}
	origin, err := ParseOrigin(s[:i])
	if err != nil {
		return Dot{}, err
	}
	seq, err := strconv.ParseUint(s[i+1:], 10, 64)
	if err != nil || seq == 0 {
		return Dot{}, fmt.Errorf("write %q: want node/16 hex digits:number", clip(s))
	}
	return Dot{Origin: origin, Seq: seq}, nil
}

// clip keeps foreign text short enough for an error line.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
