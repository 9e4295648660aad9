package oplog

import "fmt"

// A Report tells a peer the sender's clock of one bucket, as it is on its disk,
// and the timestamp that all its later writes are above. It travels where the
// hash in a digest does not tell enough, for the two clocks are never equal.
type Report struct {
	From   Instance
	Bucket string
	Clock  Clock
	Floor  HLC
}

func (*Report) kind() Kind { return KindReport }

func (m *Report) code(c coder) {
	codeInstance(c, &m.From)
	c.str("bucket", &m.Bucket)
	codeClock(c, "clock", &m.Clock)
	c.word("floor", (*uint64)(&m.Floor))
}

func (m *Report) check() error {
	if !ValidName(m.Bucket) {
		return fmt.Errorf("bad bucket name %q", clip(m.Bucket))
	}
	return m.From.check()
}
