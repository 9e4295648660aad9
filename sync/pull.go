package syncer

import (
	"time"

	"replicator/oplog"
)

// A pull is a session in which this node takes what a donor has and it lacks:
// A of section 3.4 of the protocol.
type pull struct {
	id       oplog.Session
	bucket   string
	donor    string
	started  time.Time
	deadline time.Time

	reconcile bool        // all rows travel and are compared
	repair    *Repair     // set if rows travel that both cover
	asked     oplog.Clock // likewise: the clock of its Parts
	bad       bool        // likewise: bad rows were asked for
	finals    oplog.Clock // of the list whose hash the donor was given
	changed   uint64      // likewise: rows that are others now
	began     bool
	keyOrder  bool
	token     *Token // the one that was resumed
	claim     oplog.Clock
	ahead     oplog.Clock
	gate      *Gate      // of a reconcile, once it began
	rec       *Reconcile // likewise: where the next page begins
	rows      uint64     // of the donor's snapshot
	pages     uint64     // taken
	applied   uint64     // of those, in the store
	queue     []ApplyPage
	queued    uint64      // bytes of queue
	patience  int         // how often the store may still be waited for
	lacking   oplog.Clock // how far the origins were here of which more was heard
	entries   uint64
	bytes     uint64
	end       *oplog.End
	moves     bool // its end moves the clock
}

// storePatience is how many AnswerTimeouts a page may take in our own store.
const storePatience = 12

// startPull begins a session. A clock of many rows is compared by its
// sub-hashes first, so that only rows that differ travel.
func (e *Engine) startPull(b *bucket, donor *peer) {
	if e.mend(b, donor) {
		return
	}
	p := &pull{
		id:     oplog.Session{ID: e.session(), Puller: e.self.Nonce, Donor: donor.inst.Nonce},
		bucket: b.name, donor: donor.name, started: e.now,
	}
	p.patience, p.lacking = storePatience, e.lacking(b)
	b.pull, b.dropping = p, false
	e.pulls[p.id.ID] = p
	e.waitForDonor(p)
	if e.resume(b, p); p.reconcile {
		m := e.newPull(p)
		m.Reconcile, m.Resume = true, true
		if p.token != nil {
			m.Cursor = p.token.Cursor
		}
		e.sendTo(p, m)
		return
	}
	hash := e.store.ClockHash(b.name)
	if len(e.store.Clock(b.name)) > e.opt.CompareAbove {
		e.sendTo(p, &oplog.Compare{Session: p.id, Bucket: b.name, Parts: hash.Parts[:]})
		return
	}
	e.sendPull(b, p, false, e.store.Clock(b.name))
}

// resume finds out whether the pull goes on where an earlier one stopped, and
// whether it has to be a reconcile.
func (e *Engine) resume(b *bucket, p *pull) {
	t, ok := e.store.Token(b.name)
	p.reconcile = b.gatedBy == p.donor || ok && t.Gate != nil
	b.reconciling = p.reconcile
	if fits := p.reconcile == (t.Gate != nil); ok && fits && (!p.reconcile || !b.startsOver()) {
		p.token = &t
	}
}

// waitsForStore reports whether the next step is our own store's.
func (p *pull) waitsForStore() bool { return p.applied < p.pages || p.end != nil }

func (e *Engine) waitForDonor(p *pull) {
	p.deadline = e.now.Add(e.opt.AnswerTimeout)
	e.at(p.deadline)
}

func (e *Engine) sendTo(p *pull, m oplog.Message) {
	e.do(Send{To: p.donor, Bucket: p.bucket, Session: p.id.ID, Message: m})
}

// sendPull asks for the rows above the clock. A token of an earlier pull goes
// on behind its cursor, with whichever donor.
func (e *Engine) sendPull(b *bucket, p *pull, compared bool, clock oplog.Clock) {
	m := e.newPull(p)
	m.Compared, m.Clock, m.Resume = compared, clock, b.byKey
	if p.token != nil {
		m.Resume, m.Cursor = true, p.token.Cursor
	}
	e.sendTo(p, m)
}

// newPull begins a request, and notes the list by which its answer may be folded.
func (e *Engine) newPull(p *pull) *oplog.Pull {
	p.finals = e.finals[p.bucket]
	return &oplog.Pull{Session: p.id, Bucket: p.bucket, Finals: e.self.Finals}
}

// pullOf returns the pull that a message belongs to, or nil. A message of
// another instance, or of a session given up, belongs to none.
func (e *Engine) pullOf(s oplog.Session) *pull {
	p := e.pulls[s.ID]
	if p == nil || p.id != s {
		return nil
	}
	e.waitForDonor(p)
	return p
}

func (e *Engine) hearDiffer(m *oplog.Differ) {
	p := e.pullOf(m.Session)
	if p == nil || p.began {
		return
	}
	var parts [oplog.ClockParts]bool
	for _, n := range m.Parts {
		parts[n] = true
	}
	clock := e.store.Clock(p.bucket)
	for o := range clock {
		if !parts[oplog.ClockPart(o)] {
			delete(clock, o)
		}
	}
	e.sendPull(e.bucket(p.bucket), p, true, clock)
}

func (e *Engine) hearBegin(m *oplog.Begin) {
	p := e.pullOf(m.Session)
	if p == nil {
		return
	}
	if p.began || (p.token != nil || p.reconcile) && !m.KeyOrder {
		e.abortPull(p, "begin out of place")
		return
	}
	if p.repair != nil {
		p.began, p.rows = true, m.Rows
		p.repair.Covered, p.repair.Clock, p.repair.Unsure = m.Clock.GE(p.asked), m.Clock, m.Bad
		return
	}
	clock := m.Clock
	if m.Folded {
		clock = clock.Unfold(p.finals)
	}
	if m.Folded && !p.reconcile {
		clock = clock.Above(e.store.Clock(p.bucket)) // the list is no news
	}
	p.began, p.keyOrder, p.rows = true, m.KeyOrder, m.Rows
	p.claim, p.ahead = clock, m.Ahead
	e.noteLoss(p.bucket, clock, m.Ahead)
	if p.token != nil {
		// Rows that the donor leaves out are covered here already.
		p.claim, p.ahead = p.token.Claim.Meet(clock), p.token.Ahead.Meet(m.Ahead)
	}
	if p.reconcile {
		e.beginReconcile(p, m, clock)
	}
}

// beginReconcile checks that what the donors of this reconcile claim in common
// covers what any of them has collected: else what was compared so far does not
// fit this donor, and all of it is compared anew. Rule C4.
func (e *Engine) beginReconcile(p *pull, m *oplog.Begin, clock oplog.Clock) {
	b := e.bucket(p.bucket)
	if !e.fits(b, p, clock) {
		e.abortPull(p, "a clock below what others have collected")
		return
	}
	p.gate = &Gate{GCV: m.GCV.Clone(), GCTS: m.GCTS}
	p.rec = &Reconcile{Clock: clock, GCTS: m.GCTS, HLC: m.HLC}
	if p.token != nil {
		p.gate.GCV.Join(p.token.Gate.GCV)
		p.gate.GCTS = max(p.gate.GCTS, p.token.Gate.GCTS)
		p.rec.After = p.token.Cursor
	}
	switch covers := p.claim.GE(p.gate.GCV); {
	case !covers && p.token == nil:
		e.abortPull(p, "a clock below the gate")
	case !covers:
		b.startOver = true
		e.sendTo(p, &oplog.Abort{Session: p.id, Bucket: p.bucket, Reason: oplog.ReasonFailed, Text: "starts over"})
		e.dropPull(b)
		e.want(b, p.donor, 0)
	case p.token == nil:
		e.do(Raise{
			Kind: EventReconcile, Bucket: p.bucket, Peer: p.donor,
			Text: "bucket " + p.bucket + " is compared row by row with " + p.donor + ", which has collected deletes that were never seen here",
		})
	}
}

func (e *Engine) hearPage(m *oplog.Page) {
	p := e.pullOf(m.Session)
	if p == nil {
		return
	}
	if !p.began || p.end != nil || m.Number != p.pages+1 || len(m.Entries) == 0 {
		e.abortPull(p, "page out of order")
		return
	}
	p.entries += uint64(len(m.Entries))
	size := sizeOf(m.Entries)
	p.bytes += size
	if p.queued += size; p.queued > maxQueued && len(p.queue) > 1 {
		e.abortPull(p, "more pages than the window lets through")
		return
	}
	e.applyPage(p, m.Entries, nil)
}

// maxQueued bounds the pages that wait for the store, whatever window a donor
// believes in: a page may be one entry of the largest size.
const maxQueued = 2*oplog.MaxValue + 8<<20

func sizeOf(entries []oplog.Entry) uint64 {
	var size uint64
	for i := range entries {
		size += uint64(entries[i].Size())
	}
	return size
}

// applyPage queues entries for the store, in key order with the token that lets
// another session go on after them. The store has one page at a time: behind
// one that it refuses, the token of the next would promise rows that are not
// there.
func (e *Engine) applyPage(p *pull, entries []oplog.Entry, cursor []byte) {
	p.pages++
	a := ApplyPage{Bucket: p.bucket, Session: p.id.ID, Number: p.pages, Entries: entries}
	if p.repair != nil {
		if n := len(entries); n > 0 {
			cursor = entries[n-1].Key
		}
		repair := *p.repair
		repair.Upto, repair.Last = cursor, len(cursor) == 0
		a.Repair = &repair
		p.repair.After = cursor
	}
	if p.keyOrder {
		if n := len(entries); n > 0 {
			cursor = entries[n-1].Key
		}
		a.Token = &Token{Cursor: cursor, Claim: p.claim, Ahead: p.ahead, Gate: p.gate}
	}
	if p.rec != nil {
		rec := *p.rec
		a.Rec = &rec
		p.rec.After = cursor
		e.bucket(p.bucket).mayContribute(p)
	}
	if p.queue = append(p.queue, a); len(p.queue) == 1 {
		e.do(a)
	}
}

func (e *Engine) pageApplied(ev PageApplied) {
	p := e.pulls[ev.Session]
	if p == nil {
		return
	}
	if ev.Err != nil {
		if !e.refusedAsReplica(e.bucket(p.bucket), ev.Err) {
			e.abortPull(p, "the store refused a page")
		}
		return
	}
	if len(p.queue) == 0 || p.queue[0].Number != ev.Number {
		return
	}
	e.waitForDonor(p)
	p.applied, p.patience = ev.Number, storePatience
	p.changed += uint64(ev.Changed)
	if p.reconcile {
		e.bucket(p.bucket).hasContributed(p)
	}
	p.queued -= sizeOf(p.queue[0].Entries)
	p.queue[0] = ApplyPage{}
	if p.queue = p.queue[1:]; len(p.queue) > 0 {
		e.do(p.queue[0])
	}
	if p.end == nil {
		e.sendTo(p, &oplog.Ack{Session: p.id, Bucket: p.bucket, Number: ev.Number})
		return
	}
	e.maybeFinish(p)
}
