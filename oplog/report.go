package oplog

import (
	"errors"
	"fmt"
)

var errFolded = errors.New("a clock folded by no list")

// A Report tells a peer the sender's clock of one bucket, as it is on its disk,
// and the timestamp that all its later writes are above. It travels where the
// hash in a digest does not tell enough, for the two clocks are never equal.
type Report struct {
	From   Instance
	Bucket string
	Clock  Clock
	Floor  HLC
	Folded bool // Clock lacks the rows that are as in the list of From.Finals
}

func (*Report) kind() Kind { return KindReport }

func (m *Report) code(c coder) {
	codeInstance(c, &m.From)
	c.str("bucket", &m.Bucket)
	codeClock(c, "clock", &m.Clock)
	c.word("floor", (*uint64)(&m.Floor))
	c.bool("folded", &m.Folded)
}

func (m *Report) check() error {
	if !ValidName(m.Bucket) {
		return fmt.Errorf("bad bucket name %q", clip(m.Bucket))
	}
	if m.Folded && m.From.Finals == 0 {
		return errFolded
	}
	return m.From.check()
}
