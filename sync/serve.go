package syncer

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"replicator/oplog"
)

// A serveKey names a session at the donor: ids are drawn by pullers.
type serveKey struct {
	puller oplog.Nonce
	id     uint64
}

// A serve is a session in which this node streams one snapshot to a puller: B
// of section 3.4 of the protocol.
type serve struct {
	id       oplog.Session
	bucket   string
	puller   string
	reply    string
	started  time.Time
	deadline time.Time

	compared oplog.Clock // our clock when a Compare came; rows left out mean this
	parts    []uint64    // in which the clocks differed then
	request  *oplog.Pull
	repair   *oplog.Parts           // set if it is a repair
	wanted   *[oplog.HashParts]bool // likewise: the parts it brings
	cut      *oplog.End             // what ends a reconcile early, once all rows were counted
	spoke    time.Time              // when something was last sent
	number   uint64                 // of the snapshot
	above    oplog.Clock
	keyOrder bool
	busy     bool // a page is being read
	pages    uint64
	entries  uint64
	bytes    int
	sizes    []int // of the pages that are not acknowledged
	acked    uint64
	unacked  int
}

func keyOf(s oplog.Session) serveKey { return serveKey{s.Puller, s.ID} }

func (e *Engine) sortedServes() []*serve {
	return slices.SortedFunc(maps.Values(e.serves), func(a, b *serve) int {
		return cmp.Or(cmp.Compare(a.id.ID, b.id.ID), cmp.Compare(a.puller, b.puller))
	})
}

// admit returns the session of a request, new or known, or answers why not.
func (e *Engine) admit(from string, s oplog.Session, bucket, reply string) *serve {
	refuse := func(r oplog.Reason, text string) *serve {
		e.do(Answer{reply, &oplog.Abort{Session: s, Bucket: bucket, Reason: r, Text: text}})
		return nil
	}
	if _, double := e.doubles[s.Donor]; double {
		return nil // meant for another instance of our name, which answers
	}
	if s.Donor != e.self.Nonce {
		return refuse(oplog.ReasonStale, "this instance has started since")
	}
	if !e.holds(bucket) {
		return refuse(oplog.ReasonUnknown, "no such bucket here")
	}
	if sv := e.serves[keyOf(s)]; sv != nil {
		return sv
	}
	for _, other := range e.sortedServes() {
		if other.puller == from && other.bucket == bucket {
			e.closeServe(other) // a node has one pull a bucket: it gave this one up
		}
	}
	if len(e.serves) >= e.opt.Serves {
		e.do(Answer{reply, &oplog.Busy{Session: s, RetryAfter: uint64(500 + e.jitter(1500))}})
		return nil
	}
	sv := &serve{id: s, bucket: bucket, puller: from, reply: reply, started: e.now}
	e.serves[keyOf(s)] = sv
	e.waitForPuller(sv)
	return sv
}

func (e *Engine) waitForPuller(s *serve) {
	s.deadline = e.now.Add(3 * e.opt.AnswerTimeout)
	e.at(s.deadline)
}

func (e *Engine) hearCompare(from string, m *oplog.Compare, reply string) {
	if from == "" || from == e.self.Node {
		return
	}
	s := e.admit(from, m.Session, m.Bucket, reply)
	if s == nil || s.request != nil || s.compared != nil {
		return
	}
	s.compared = e.store.Clock(m.Bucket)
	hash := oplog.HashClock(s.compared)
	for i, part := range m.Parts {
		if part != hash.Parts[i] {
			s.parts = append(s.parts, uint64(i))
		}
	}
	e.do(Answer{reply, &oplog.Differ{Session: m.Session, Parts: s.parts}})
}

func (e *Engine) hearPull(from string, m *oplog.Pull, reply string) {
	if from == "" || from == e.self.Node {
		return
	}
	s := e.admit(from, m.Session, m.Bucket, reply)
	if s == nil || s.request != nil {
		return
	}
	if m.Compared && s.compared == nil {
		e.refuseServe(s, oplog.ReasonFailed, "nothing was compared")
		return
	}
	s.above = m.Clock
	if m.Compared {
		s.above = s.whole(m.Clock)
	}
	e.open(s, m)
}

func (e *Engine) open(s *serve, request *oplog.Pull) {
	s.request, s.spoke = request, e.now
	e.numbers++
	s.number = e.numbers
	e.reading[s.number] = s
	s.busy = true
	e.do(OpenSnapshot{Bucket: s.bucket, Session: s.number})
}

// whole completes the rows that the puller sent: those it left out had the
// same value on both sides when the clocks were compared.
func (s *serve) whole(sent oplog.Clock) oplog.Clock {
	differ := map[uint64]bool{}
	for _, n := range s.parts {
		differ[n] = true
	}
	clock := sent.Clone()
	for o, seq := range s.compared {
		if !differ[uint64(oplog.ClockPart(o))] {
			clock[o] = max(clock[o], seq)
		}
	}
	return clock
}

func (e *Engine) refuseServe(s *serve, r oplog.Reason, text string) {
	e.do(Answer{s.reply, &oplog.Abort{Session: s.id, Bucket: s.bucket, Reason: r, Text: text}})
	e.closeServe(s)
}

func (e *Engine) closeServe(s *serve) {
	delete(e.serves, keyOf(s.id))
	if s.number != 0 && e.reading[s.number] == s {
		delete(e.reading, s.number)
		e.do(CloseSnapshot{s.number})
	}
}

// snapshotOpened checks the gate and chooses the order: by log while little is
// missing, so that atomic batches stay whole, else by key, which can resume.
func (e *Engine) snapshotOpened(ev SnapshotOpened) {
	s := e.reading[ev.Session]
	if s == nil {
		e.do(CloseSnapshot{ev.Session}) // given up while it was being opened
		return
	}
	s.busy = false
	if ev.Err != nil {
		e.refuseServe(s, oplog.ReasonFailed, "the donor's store failed")
		return
	}
	if s.repair != nil {
		e.beginRepair(s, ev)
		return
	}
	begin := &oplog.Begin{Session: s.id, Rows: ev.Rows, Ahead: ev.Ahead}
	begin.Clock, begin.Folded = e.foldFor(s.request.Finals, s.bucket, ev.Clock, ev.Clock.Above(s.above))
	if s.request.Reconcile {
		begin.GCV, begin.GCTS, begin.HLC = ev.GCV, ev.GCTS, ev.HLC
	} else if !s.above.GE(ev.GCV) {
		e.refuseServe(s, oplog.ReasonGate, "deletes were collected that the puller never saw")
		return
	}
	limit := max(e.opt.LogOrderMax, ev.Rows/50)
	covered, extra := s.above.Lag(ev.Clock), s.above.Lag(ev.Ahead) // their sum may not fit
	s.keyOrder = s.request.Resume || s.request.Reconcile || covered > limit || extra > limit-covered
	begin.KeyOrder = s.keyOrder
	e.do(Answer{s.reply, begin})
	e.readPage(s)
}

func (e *Engine) readPage(s *serve) {
	s.busy = true
	a := ReadPage{Session: s.number, KeyOrder: s.keyOrder, Limit: e.opt.PageBytes}
	a.Above, a.After, a.Wanted = s.above, s.request.Cursor, s.wanted
	a.Whole, a.Rest = s.request.Reconcile, s.cut != nil
	e.do(a)
}

func (e *Engine) pageRead(ev PageRead) {
	s := e.reading[ev.Session]
	if s == nil {
		return
	}
	s.busy = false
	if ev.Err != nil {
		e.refuseServe(s, oplog.ReasonFailed, "the donor's store failed")
		if ev.Corrupt {
			e.suspect(s.bucket)
		}
		return
	}
	e.waitForPuller(s)
	if s.request.Reconcile {
		e.bucket(s.bucket).helped = e.now
	}
	if len(ev.Entries) > 0 {
		e.sendPage(s, ev)
	} else if !ev.End && e.now.Sub(s.spoke) > e.opt.AnswerTimeout/5 {
		s.spoke = e.now
		e.do(Answer{s.reply, &oplog.Wait{Session: s.id}})
	}
	lasted := e.now.Sub(s.started) > e.opt.CutAfter
	switch {
	case s.cut != nil && ev.End:
		e.endServe(s, *s.cut)
	case ev.End:
		e.endServe(s, oplog.End{})
	case s.cut != nil:
		e.readPage(s)
	case s.keyOrder && bytes.Compare(ev.Last, s.request.Cursor) <= 0:
		e.readPage(s) // a cut here would be no progress: rows are being counted
	case s.keyOrder && (lasted || s.bytes > e.opt.CutBytes):
		e.cutServe(s, oplog.End{Cut: true, Cursor: ev.Last})
	case lasted:
		e.refuseServe(s, oplog.ReasonSlow, "too much for log order")
	case s.unacked < e.opt.Window:
		e.readPage(s)
	}
}

func (e *Engine) sendPage(s *serve, ev PageRead) {
	s.spoke = e.now
	s.pages++
	s.entries += uint64(len(ev.Entries))
	s.bytes += ev.Size
	s.unacked += ev.Size
	s.sizes = append(s.sizes, ev.Size)
	e.do(Answer{s.reply, &oplog.Page{Session: s.id, Number: s.pages, Entries: ev.Entries}})
}

// cutServe ends a stream early. What a reconcile did not get is counted first: its
// puller takes what was not in the stream for deleted, rule C7.
func (e *Engine) cutServe(s *serve, end oplog.End) {
	if !s.request.Reconcile {
		e.endServe(s, end)
		return
	}
	s.cut = &end
	e.readPage(s)
}

func (e *Engine) endServe(s *serve, end oplog.End) {
	end.Session, end.Pages, end.Entries = s.id, s.pages, s.entries
	e.do(Answer{s.reply, &end})
	e.closeServe(s)
}

// stalled counts sessions that ended before the puller took a page. The second
// in a row makes frames smaller.
func (e *Engine) stalled(s *serve) {
	if s.pages == 0 || s.acked > 0 {
		return
	}
	if e.stalls++; e.stalls >= 2 {
		e.stalls = 0
		e.do(ShrinkFrames{})
	}
}

// hearAck opens the window by the pages that are in the puller's store.
func (e *Engine) hearAck(m *oplog.Ack) {
	s := e.serves[keyOf(m.Session)]
	if s == nil || s.id != m.Session || m.Number > s.pages {
		return
	}
	e.waitForPuller(s)
	e.stalls = 0
	for s.acked < m.Number {
		s.acked++
		s.unacked -= s.sizes[0]
		s.sizes = s.sizes[1:]
	}
	if s.number != 0 && !s.busy && s.unacked < e.opt.Window {
		e.readPage(s)
	}
}

// hearAbort ends a session from the other side. Only its puller may end one
// that we serve.
func (e *Engine) hearAbort(from string, m *oplog.Abort) {
	if s := e.serves[keyOf(m.Session)]; s != nil && s.id == m.Session && s.puller == from {
		if m.Reason == oplog.ReasonSlow {
			e.stalled(s)
		}
		e.closeServe(s)
		return
	}
	if p := e.pulls[m.Session.ID]; p != nil && p.id == m.Session && from == "" {
		e.pullAborted(p, m)
	}
}
