package oplog

import (
	"errors"
	"fmt"
)

// A Parts asks for the rows in those parts of the key space in which two copies
// differ: rule H3. The donor answers with a stream as for a Pull in key order,
// whose end moves no clock, if its own clock covers Clock. It compares Sums only
// if the clocks are equal: else writes under way would differ, too.
type Parts struct {
	Session Session
	Bucket  string
	Clock   Clock    // of the asker, of the same moment as Sums
	Sums    []uint64 // HashParts of them, as Bucket.Sum is made of
	Bad     []uint64 // parts in which the asker holds rows that are not what it took, ascending
	Cursor  []byte   // only rows behind it
}

func (*Parts) kind() Kind { return KindParts }

func (m *Parts) code(c coder) {
	codeSession(c, &m.Session)
	c.str("bucket", &m.Bucket)
	codeClock(c, "clock", &m.Clock)
	codeList(c, "sums", &m.Sums, HashParts, func(c coder, n *uint64) { c.word("", n) })
	codeHashParts(c, "bad", &m.Bad)
	c.data("cursor", &m.Cursor)
}

func (m *Parts) check() error {
	if len(m.Sums) != HashParts || !ValidName(m.Bucket) {
		return fmt.Errorf("%d sums for bucket %q, want %d", len(m.Sums), clip(m.Bucket), HashParts)
	}
	if err := checkHashParts(m.Bad); err != nil {
		return err
	}
	if len(m.Cursor) > MaxKey {
		return errors.New("cursor too long")
	}
	return m.Session.check()
}

func codeHashParts(c coder, name string, parts *[]uint64) {
	codeList(c, name, parts, HashParts, func(c coder, n *uint64) { c.uint("", n) })
}

func checkHashParts(parts []uint64) error {
	for i, n := range parts {
		if n >= HashParts || i > 0 && n <= parts[i-1] {
			return fmt.Errorf("parts out of order at %d", n)
		}
	}
	return nil
}

// A Wait is a sign of life of a donor that reads much and has nothing to send.
type Wait struct{ Session Session }

func (*Wait) kind() Kind { return KindWait }

func (m *Wait) code(c coder) { codeSession(c, &m.Session) }

func (m *Wait) check() error { return m.Session.check() }
