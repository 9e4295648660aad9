package syncer

import (
	"encoding/binary"
	"time"

	"replicator/oplog"
)

// What a bucket knows of its own soundness between events: rule H3.
type mending struct {
	scrubAt   time.Time // when all rows are read again
	scrubbing bool      // in the background
	rushing   bool      // soon
	again     bool      // what is being read soon was asked for once more
	greet     bool      // when that has ended, all shake hands: somebody waits
	scrubbed  time.Time // when that was last done to the end
	donor     string    // who diverges: asked once the rows here were read

	mendAt  time.Time // when a donor is asked for rows that are bad here
	pause   time.Duration
	alarmed time.Time // when divergence was last told of
	cursor  []byte    // how far a repair came that its donor cut
}

// A Repair says of which moment the Parts were, and whether the donor covers what
// was covered then. If not, it can only give back the very rows that are bad.
type Repair struct {
	Gated   uint64
	Covered bool
	Clock   oplog.Clock // of the donor

	// After and Upto bound the keys of which a page brings all that the donor has
	// in the bad parts; the last one has no upper bound.
	After, Upto []byte
	Last        bool
	Unsure      []uint64 // parts in which the donor has bad rows, too: what it lacks there proves nothing
}

const (
	alarmPause = 10 * time.Minute // between two alarms of a bucket
	// scrubAgain is for how long the rows are not read again because a bucket
	// diverges, suspectAgain because a row could not be read.
	scrubAgain   = time.Hour
	suspectAgain = time.Minute
	mendPause    = 2 * time.Second // before the first repair of bad rows
)

// diverges reports whether the peer has the same clock, neither side has extras,
// and the rows are not the same: what must never be.
func (e *Engine) diverges(bucket string, p *peer) bool {
	pd := p.digests[bucket]
	if pd == nil {
		return false
	}
	own := e.store.Durable(bucket)
	return pd.last.Clock == own.Clock && pd.last.Ahead == 0 && own.Ahead == 0 && pd.last.Sum != own.Sum
}

// mend takes the place of a pull from a donor that diverges, which would bring
// nothing. First the rows here are read, so that the own sums are true.
func (e *Engine) mend(b *bucket, donor *peer) bool {
	if b.reconciling || !e.diverges(b.name, donor) {
		return false
	}
	e.alarm(b, donor)
	if b.mending.scrubbed.IsZero() || e.now.Sub(b.mending.scrubbed) > scrubAgain {
		b.mending.donor = donor.name
		if !b.mending.rushing {
			e.rush(b)
		}
		return true
	}
	e.startRepair(b, donor)
	return true
}

func (e *Engine) alarm(b *bucket, donor *peer) {
	if !b.mending.alarmed.IsZero() && e.now.Sub(b.mending.alarmed) < alarmPause {
		return
	}
	b.mending.alarmed = e.now
	e.do(Raise{
		Kind: EventDivergence, Bucket: b.name, Peer: donor.name,
		Text: "bucket " + b.name + " and that of " + donor.name + " have taken the same writes and do not hold the same rows: a disk or a program is broken",
	})
}

// rush has all rows of the bucket read soon. A scrub under way has passed some of
// them already.
func (e *Engine) rush(b *bucket) {
	m := &b.mending
	if m.again = m.rushing; !m.rushing {
		m.rushing = true
		e.do(Scrub{Bucket: b.name, Soon: true})
	}
}

// tickMend does what is due for the soundness of a bucket.
func (e *Engine) tickMend(b *bucket) {
	m := &b.mending
	if m.scrubAt.IsZero() {
		// The first one comes within a quarter: a node may never run for long. The
		// nonce spreads those of a fleet.
		spread := binary.BigEndian.Uint64(e.self.Nonce[:]) % max(uint64(e.opt.ScrubEvery/8), 1)
		m.scrubAt = e.now.Add(e.opt.ScrubEvery/8 + time.Duration(spread))
	}
	if e.passed(m.scrubAt) {
		m.scrubAt = e.now.Add(e.opt.ScrubEvery)
		e.at(m.scrubAt)
		if !m.scrubbing {
			m.scrubbing = true
			e.do(Scrub{Bucket: b.name})
		}
	}
	if e.store.BadRows(b.name) == 0 || b.pull != nil && b.pull.repair != nil {
		m.mendAt = time.Time{}
		return
	}
	if m.mendAt.IsZero() {
		e.mendLater(b)
	}
	if !e.passed(m.mendAt) {
		return
	}
	m.mendAt = time.Time{}
	if donor := e.pickDonor(b.name, ""); donor != nil && b.pull == nil && !b.reconciling {
		e.startRepair(b, donor)
		return
	}
	e.mendLater(b)
}

// mendLater asks for bad rows again after a pause that doubles.
func (e *Engine) mendLater(b *bucket) {
	m := &b.mending
	m.pause = min(max(2*m.pause, mendPause), e.opt.BackoffMax)
	m.mendAt = e.now.Add(m.pause/2 + e.jitter(m.pause))
	e.at(m.mendAt)
}

// scrubEnded goes on with what the rows were read for.
func (e *Engine) scrubEnded(ev Scrubbed) {
	b := e.bucket(ev.Bucket)
	m := &b.mending
	if !ev.Soon {
		m.scrubbing = false
	} else if m.rushing = false; m.again {
		e.rush(b)
		return
	}
	if ev.Err == nil {
		m.scrubbed = e.now
	}
	if m.pause = 0; ev.Soon {
		m.mendAt = time.Time{} // somebody waits, who may have brought the donor back
	}
	e.at(e.now) // there may be bad rows
	if donor := m.donor; donor != "" {
		m.donor = ""
		pause := e.jitter(e.opt.GreetJitter)
		if ev.Err != nil { // the donor is not asked before all was read, so it would be read again at once
			pause = e.backoff(b)
		}
		e.want(b, donor, pause)
	}
	if m.greet {
		m.greet = false
		e.syncNow()
	}
}

// suspect has the rows read after one that could not be.
func (e *Engine) suspect(bucket string) {
	b := e.buckets[bucket]
	if b == nil {
		return
	}
	pause := suspectAgain
	if e.store.BadRows(bucket) > 0 {
		pause = scrubAgain // this one is known, most probably, and being mended
	}
	m := &b.mending
	if fresh := !m.scrubbed.IsZero() && e.now.Sub(m.scrubbed) < pause; !fresh && !m.rushing {
		e.rush(b)
	}
}

// scrubNow is what a person asks for.
func (e *Engine) scrubNow(bucket string) {
	if b := e.buckets[bucket]; b != nil {
		e.rush(b)
	}
}

// repairNow is what a person asks for: read all rows, fetch the bad ones, and
// compare with everyone.
func (e *Engine) repairNow(bucket string) {
	if b := e.buckets[bucket]; b != nil {
		b.mending.cursor, b.mending.greet = nil, true
		e.rush(b)
	}
}

// startRepair asks a donor for the rows of those parts in which it differs.
func (e *Engine) startRepair(b *bucket, donor *peer) {
	p := &pull{
		id:     oplog.Session{ID: e.session(), Puller: e.self.Nonce, Donor: donor.inst.Nonce},
		bucket: b.name, donor: donor.name, started: e.now, patience: storePatience,
	}
	s := e.store.Sums(b.name)
	p.repair, p.asked, p.bad = &Repair{Gated: s.Gated, After: b.mending.cursor}, s.Clock, len(s.Bad) > 0
	b.pull = p
	e.pulls[p.id.ID] = p
	e.waitForDonor(p)
	e.sendTo(p, &oplog.Parts{
		Session: p.id, Bucket: b.name, Clock: s.Clock, Sums: s.Parts[:], Bad: s.Bad, Cursor: b.mending.cursor,
	})
}

// endRepair ends one whose pages are all in the store. One that changed nothing
// makes the next wait longer: there is nothing more that this pair can do.
func (e *Engine) endRepair(p *pull) {
	b := e.bucket(p.bucket)
	e.dropPull(b)
	b.backoff = 0
	m := &b.mending
	if m.cursor = nil; p.end.Cut {
		m.cursor = p.end.Cursor
		m.mendAt = e.now
		e.want(b, p.donor, 0)
		return
	}
	if p.changed > 0 {
		e.do(Raise{
			Kind: EventRepaired, Bucket: b.name, Peer: p.donor,
			Text: "rows of bucket " + b.name + " were put right from " + p.donor,
		})
	} else {
		e.calm(b, p)
	}
	e.at(e.now)
}

// calm makes the pair wait: what its digests asked for during a repair that
// changed nothing does not begin the next one.
func (e *Engine) calm(b *bucket, p *pull) {
	e.quieten(p)
	if b.want != nil && b.want.donor == p.donor && len(b.behind)+len(b.held) == 0 {
		b.want = nil
	}
}

// failRepair gives one up. Bad rows are asked for again; a digest that diverges
// asks for itself.
func (e *Engine) failRepair(b *bucket) {
	p := b.pull
	e.dropPull(b)
	b.mending.cursor = nil
	e.calm(b, p)
	e.at(e.now)
	e.wantUnsettled(b)
}

// hearParts serves a repair.
func (e *Engine) hearParts(from string, m *oplog.Parts, reply string) {
	if from == "" || from == e.self.Node {
		return
	}
	s := e.admit(from, m.Session, m.Bucket, reply)
	if s == nil || s.request != nil {
		return
	}
	s.repair = m
	e.open(s, &oplog.Pull{Session: m.Session, Bucket: m.Bucket, Resume: true, Cursor: m.Cursor})
}

// beginRepair streams the parts that differ. Sums are compared only where both
// have taken the same writes.
func (e *Engine) beginRepair(s *serve, ev SnapshotOpened) {
	if !ev.Clock.GE(s.repair.Clock) && len(s.repair.Bad) == 0 {
		e.refuseServe(s, oplog.ReasonMoved, "the donor does not cover what the asker covers")
		return
	}
	wanted, some := new([oplog.HashParts]bool), false
	for _, n := range s.repair.Bad {
		wanted[n], some = true, true
	}
	if ev.Clock.Equal(s.repair.Clock) {
		for n, sum := range s.repair.Sums {
			if sum != ev.Sums[n] {
				wanted[n], some = true, true
			}
		}
	}
	s.wanted, s.keyOrder = wanted, true
	e.do(Answer{s.reply, &oplog.Begin{Session: s.id, KeyOrder: true, Clock: ev.Clock, Rows: ev.Rows, Bad: ev.Bad}})
	if !some {
		e.endServe(s, oplog.End{})
		return
	}
	e.readPage(s)
}

// hearWait takes a donor's sign of life.
func (e *Engine) hearWait(m *oplog.Wait) { e.pullOf(m.Session) }
