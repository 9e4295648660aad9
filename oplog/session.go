package oplog

import (
	"errors"
	"fmt"
)

// A Session names one pull between two running instances. A restart of either
// side ends it: the nonces no longer match.
type Session struct {
	ID     uint64
	Puller Nonce
	Donor  Nonce
}

func codeSession(c coder, s *Session) {
	c.object("session", 3, func(c coder) {
		c.word("id", &s.ID)
		c.nonce("puller", &s.Puller)
		c.nonce("donor", &s.Donor)
	})
}

func (s *Session) check() error {
	if s.ID == 0 || s.Puller.IsZero() {
		return errors.New("no session named")
	}
	return nil
}

// A Compare carries the sub-hashes of the puller's clock, so that only rows
// that differ have to travel.
type Compare struct {
	Session Session
	Bucket  string
	Parts   []uint64 // ClockParts of them
}

func (*Compare) kind() Kind { return KindCompare }

func (m *Compare) code(c coder) {
	codeSession(c, &m.Session)
	c.str("bucket", &m.Bucket)
	codeList(c, "parts", &m.Parts, ClockParts, func(c coder, n *uint64) { c.word("", n) })
}

func (m *Compare) check() error {
	if len(m.Parts) != ClockParts || !ValidName(m.Bucket) {
		return fmt.Errorf("%d parts for bucket %q, want %d", len(m.Parts), clip(m.Bucket), ClockParts)
	}
	return m.Session.check()
}

// A Differ answers a Compare with the parts in which the clocks differ. The
// donor keeps its clock of this moment with the session: a row that the puller
// leaves out of its Pull stands for the value both had now.
type Differ struct {
	Session Session
	Parts   []uint64 // their numbers, ascending
}

func (*Differ) kind() Kind { return KindDiffer }

func (m *Differ) code(c coder) {
	codeSession(c, &m.Session)
	codeList(c, "parts", &m.Parts, ClockParts, func(c coder, n *uint64) { c.uint("", n) })
}

func (m *Differ) check() error {
	for i, n := range m.Parts {
		if n >= ClockParts || i > 0 && n <= m.Parts[i-1] {
			return fmt.Errorf("parts out of order at %d", n)
		}
	}
	return m.Session.check()
}

// A Pull asks for all rows above the puller's clock. With Compared set, Clock
// holds only the rows of the parts that a Compare found to differ. A resumed
// pull says behind which key it goes on.
type Pull struct {
	Session  Session
	Bucket   string
	Compared bool
	Clock    Clock
	Resume   bool
	Cursor   []byte // the last key already taken

	// Reconcile asks for all rows in order of key, whatever the donor has
	// collected: rule C2. Clock is empty then.
	Reconcile bool

	// Finals is HashFinals of the puller's list. Zero forbids to fold.
	Finals uint64
}

func (*Pull) kind() Kind { return KindPull }

func (m *Pull) code(c coder) {
	codeSession(c, &m.Session)
	c.str("bucket", &m.Bucket)
	c.bool("compared", &m.Compared)
	codeClock(c, "clock", &m.Clock)
	c.bool("resume", &m.Resume)
	c.data("cursor", &m.Cursor)
	c.bool("reconcile", &m.Reconcile)
	c.word("finals", &m.Finals)
}

func (m *Pull) check() error {
	if m.Reconcile && (m.Compared || len(m.Clock) > 0) {
		return errors.New("reconcile with a clock")
	}
	if !ValidName(m.Bucket) || len(m.Cursor) > MaxKey || !m.Resume && len(m.Cursor) > 0 {
		return errors.New("bad bucket or cursor")
	}
	return m.Session.check()
}

// A Begin opens the stream of a pull: everything in it comes from one snapshot.
type Begin struct {
	Session  Session
	KeyOrder bool  // rows come by key and may be resumed; else by origin and seq
	Clock    Clock // rows of the snapshot's clock above the puller's
	Rows     uint64
	Ahead    Clock // of the snapshot: the highest seqs held above its clock
	GCV      Clock // of the snapshot: highest seqs collected; only in a reconcile
	GCTS     HLC   // likewise: the highest timestamp collected
	HLC      HLC   // likewise: the highest timestamp known
	Folded   bool  // Clock lacks the rows that are as in the list of Pull.Finals

	// Bad are the parts of the key space in which the donor holds rows that are not
	// what it took, ascending; only in a repair. It sends none of those, and who asks
	// must not take them for deleted.
	Bad []uint64
}

func (*Begin) kind() Kind { return KindBegin }

func (m *Begin) code(c coder) {
	codeSession(c, &m.Session)
	c.bool("key_order", &m.KeyOrder)
	codeClock(c, "clock", &m.Clock)
	c.uint("rows", &m.Rows)
	codeClock(c, "ahead", &m.Ahead)
	codeClock(c, "gcv", &m.GCV)
	c.word("gcts", (*uint64)(&m.GCTS))
	c.word("hlc", (*uint64)(&m.HLC))
	c.bool("folded", &m.Folded)
	codeHashParts(c, "bad", &m.Bad)
}

func (m *Begin) check() error {
	if err := checkHashParts(m.Bad); err != nil {
		return err
	}
	return m.Session.check()
}

// A Page is one step of the stream. Pages count from 1, and the puller takes
// none but the next.
type Page struct {
	Session Session
	Number  uint64
	Entries []Entry
}

func (*Page) kind() Kind { return KindPage }

func (m *Page) code(c coder) {
	codeSession(c, &m.Session)
	c.uint("number", &m.Number)
	codeList(c, "entries", &m.Entries, maxEntries, codeEntry)
}

func (m *Page) check() error {
	if m.Number == 0 {
		return errors.New("page without a number")
	}
	return m.Session.check()
}

// An End closes the stream. With Cut set the donor stops early, so that no
// snapshot is held for hours: all up to Cursor was sent, and any peer can go on.
type End struct {
	Session Session
	Pages   uint64
	Entries uint64
	Cut     bool
	Cursor  []byte
}

func (*End) kind() Kind { return KindEnd }

func (m *End) code(c coder) {
	codeSession(c, &m.Session)
	c.uint("pages", &m.Pages)
	c.uint("entries", &m.Entries)
	c.bool("cut", &m.Cut)
	c.data("cursor", &m.Cursor)
}

func (m *End) check() error {
	if len(m.Cursor) > MaxKey {
		return errors.New("cursor too long")
	}
	return m.Session.check()
}

// An Ack tells the donor that all pages up to Number are in the puller's store.
type Ack struct {
	Session Session
	Bucket  string
	Number  uint64
}

func (*Ack) kind() Kind { return KindAck }

func (m *Ack) code(c coder) {
	codeSession(c, &m.Session)
	c.str("bucket", &m.Bucket)
	c.uint("number", &m.Number)
}

func (m *Ack) check() error { return m.Session.check() }

// A Busy answers a request that the donor has no room for now.
type Busy struct {
	Session    Session
	RetryAfter uint64 // milliseconds
}

func (*Busy) kind() Kind { return KindBusy }

func (m *Busy) code(c coder) {
	codeSession(c, &m.Session)
	c.uint("retry_after", &m.RetryAfter)
}

func (m *Busy) check() error { return m.Session.check() }

// A Reason says why a session ended early.
type Reason string

// The reasons of an Abort.
const (
	ReasonGate    Reason = "gate"    // the puller's clock is below the donor's collected tombstones
	ReasonUnknown Reason = "unknown" // no such session or bucket
	ReasonFailed  Reason = "failed"  // the sender's disk or limits
	ReasonStale   Reason = "stale"   // the nonces are not those of this instance
	ReasonSlow    Reason = "slow"    // a stream by log took too long, ask again, by key; or, of a puller, nothing came for too long
	ReasonMoved   Reason = "moved"   // the donor does not cover what the asker of a repair covers
)

// An Abort ends a session early, from either side.
type Abort struct {
	Session Session
	Bucket  string
	Reason  Reason
	Text    string
}

func (*Abort) kind() Kind { return KindAbort }

func (m *Abort) code(c coder) {
	codeSession(c, &m.Session)
	c.str("bucket", &m.Bucket)
	c.str("reason", (*string)(&m.Reason))
	c.str("text", &m.Text)
}

func (m *Abort) check() error { return m.Session.check() }
