package syncer

import (
	"bytes"
	"errors"
	"time"

	"replicator/oplog"
)

// hearEnd wants to have seen every page and entry that the donor counted.
func (e *Engine) hearEnd(m *oplog.End) {
	p := e.pullOf(m.Session)
	if p == nil || p.end != nil && p.end.Pages == m.Pages && p.end.Entries == m.Entries && p.end.Cut == m.Cut {
		return // or it came twice
	}
	whole := p.began && p.end == nil && m.Pages == p.pages && m.Entries == p.entries
	if !whole || m.Cut && !p.keyOrder && p.repair == nil {
		e.abortPull(p, "end does not match")
		return
	}
	if m.Cut && bytes.Compare(m.Cursor, p.start()) <= 0 {
		e.abortPull(p, "cut where it began") // and would be so again, at once
		return
	}
	p.end = m
	if m.Cut && p.repair == nil || p.repair != nil && p.bad {
		// The stretch behind the last entry was looked at as well.
		e.applyPage(p, nil, m.Cursor)
		return
	}
	e.maybeFinish(p)
}

// start is the cursor that the session went on behind.
func (p *pull) start() []byte {
	if p.token == nil {
		return nil
	}
	return p.token.Cursor
}

func (e *Engine) maybeFinish(p *pull) {
	if p.end == nil || p.applied < p.pages {
		return
	}
	if p.repair != nil {
		e.endRepair(p)
		return
	}
	b := e.bucket(p.bucket)
	if p.end.Cut {
		e.dropPull(b)
		e.want(b, p.donor, 0)
		return
	}
	p.moves = !e.store.Clock(p.bucket).GE(p.claim)
	end := EndPull{Bucket: p.bucket, Session: p.id.ID, Claim: p.claim, Ahead: p.ahead, Gate: p.gate, Rec: p.rec}
	if p.reconcile {
		end.Accept = b.accepts(p)
		b.mayContribute(p)
		p.patience = endPatience
	}
	e.do(end)
}

const (
	// endPatience is how many AnswerTimeouts the end of a reconcile may take: an hour.
	// The store counts and carries out then, and answers.
	endPatience = 360
	// maxBadEnds is how often in a row the end of a reconcile may fail before it starts
	// over: a verdict may have rotted, which nothing but that mends.
	maxBadEnds = 3
)

func (e *Engine) pullEnded(ev PullEnded) {
	p := e.pulls[ev.Session]
	if p == nil {
		// Given up meanwhile, but the clock has moved.
		b := e.bucket(ev.Bucket)
		if b.reconciling = b.wiping || e.halfReconciled(b.name); !b.reconciling {
			b.donors, b.doubt = nil, nil
			if ev.Err == nil {
				b.gatedBy = "" // if it was no reconcile that ended, the gate says so again
			}
		}
		e.replay(b)
		e.settle(b)
		return
	}
	if doubt, ok := errors.AsType[*DoubtfulError](ev.Err); ok {
		e.doubted(p, doubt)
		return
	}
	b := e.bucket(p.bucket)
	if ev.Err != nil {
		if p.reconcile {
			b.badEnds++
			b.startOver = b.startOver || b.badEnds >= maxBadEnds
		}
		if !e.refusedAsReplica(b, ev.Err) {
			e.abortPull(p, "the store refused the end")
		}
		return
	}
	e.dropPull(b)
	b.byKey, b.backoff, b.rest, b.unsure = false, 0, time.Time{}, 0
	if p.reconcile {
		b.gatedBy, b.reconciling, b.startOver, b.badEnds = "", false, false, 0
		b.donors, b.doubt = nil, nil
		e.do(Raise{Kind: EventReconciled, Bucket: b.name, Peer: p.donor, Text: "bucket " + b.name + " was compared with " + p.donor})
	}
	e.replay(b)
	unsettled := e.settle(b)
	switch {
	case p.token != nil && p.moves || p.reconcile:
		e.want(b, p.donor, 0) // what a meet left out
	case unsettled && e.gained(b, p.lacking):
		b.fruitless = 0
		e.want(b, "", e.jitter(gapJitter))
	case unsettled && b.fruitless < fruitlessPulls:
		b.fruitless++
		e.want(b, "", e.jitter(250*time.Millisecond<<b.fruitless))
	default:
		e.giveUp(b)
		b.fruitless = 0
	}
	if p.entries == 0 {
		e.quieten(p)
	}
}

// lacking returns how far those origins are covered of which more was heard.
func (e *Engine) lacking(b *bucket) oplog.Clock {
	clock := oplog.Clock{}
	for o := range b.behind {
		clock[o] = e.covered(b, o)
	}
	for o := range b.held {
		clock[o] = e.covered(b, o)
	}
	return clock
}

// gained reports whether any of those origins is covered further than it was.
// That entries came is no gain: extras come with every pull.
func (e *Engine) gained(b *bucket, lacking oplog.Clock) bool {
	for o, seq := range lacking {
		if e.covered(b, o) > seq {
			return true
		}
	}
	return false
}

// fruitlessPulls is after how many pulls in a row that brought nothing the
// engine stops asking for writes it has heard of: their origin may have lost its
// disk. Digests tell if somebody has them after all.
const fruitlessPulls = 5

// quieten makes digests of a donor that had nothing for us wait longer each
// time before they lead to another pull.
func (e *Engine) quieten(p *pull) {
	pd := e.peer(p.donor).digests[p.bucket]
	if pd == nil {
		return
	}
	pd.pause = min(max(2*pd.pause, pauseMin), e.opt.BackoffMax)
	pd.notBefore = e.now.Add(pd.pause)
}

func (e *Engine) hearBusy(m *oplog.Busy) {
	p := e.pulls[m.Session.ID]
	if p == nil || p.id != m.Session {
		return
	}
	b := e.bucket(p.bucket)
	if p.repair != nil {
		e.failRepair(b)
		return
	}
	e.dropPull(b)
	pause := time.Duration(min(max(m.RetryAfter, 100), 1<<20)) * time.Millisecond
	pause = min(pause, e.opt.BackoffMax)
	e.retry(b, "", pause/2+e.jitter(pause))
}

// noResponders ends a pull whose donor cannot hear it: another may. A hello
// goes on, for its peer may be on its way back.
func (e *Engine) noResponders(ev NoResponders) {
	if p := e.pulls[ev.Session]; p != nil && p.end == nil {
		e.failPull(e.bucket(p.bucket))
	}
}

// hurry shortens the wait for a donor that has just said hello: it does so when
// it is back on the network, and has forgotten its sessions then.
func (e *Engine) hurry(donor *peer) {
	soon := e.now.Add(e.opt.AnswerTimeout / 5)
	for _, p := range e.pulls {
		if p.donor == donor.name && !p.waitsForStore() && p.deadline.After(soon) {
			p.deadline = soon
			e.at(soon)
		}
	}
}

// abortPull gives up a session and tells the donor.
func (e *Engine) abortPull(p *pull, why string) { e.abortPullFor(p, oplog.ReasonFailed, why) }

func (e *Engine) abortPullFor(p *pull, r oplog.Reason, why string) {
	e.sendTo(p, &oplog.Abort{Session: p.id, Bucket: p.bucket, Reason: r, Text: why})
	e.failPull(e.bucket(p.bucket))
}

// failPull ends a pull that will be tried again, perhaps with another donor. A
// reconcile asks the same one once more: with another it may have to start over.
func (e *Engine) failPull(b *bucket) {
	if b.pull.repair != nil {
		e.failRepair(b)
		return
	}
	donor := ""
	if b.pull.rec != nil && b.backoff == 0 {
		donor = b.pull.donor
	}
	e.dropPull(b)
	e.retry(b, donor, e.backoff(b))
}

// wantUnsettled wants another pull for what was heard of and is not here. The
// handshake that follows asks for one only if somebody's digest differs.
func (e *Engine) wantUnsettled(b *bucket) {
	if len(b.behind)+len(b.held) > 0 {
		e.want(b, "", e.backoff(b))
	}
}

// dropPull forgets the pull. What it has applied stays, its clock unmoved.
func (e *Engine) dropPull(b *bucket) {
	delete(e.pulls, b.pull.id.ID)
	b.pull = nil
	if b.want != nil {
		e.at(b.want.at) // its time may have come while the pull ran
	}
}

// pullAborted takes a donor's refusal.
func (e *Engine) pullAborted(p *pull, m *oplog.Abort) {
	b := e.bucket(p.bucket)
	switch m.Reason {
	case oplog.ReasonSlow:
		if b.byKey {
			e.failPull(b)
			return
		}
		b.byKey = true
		e.dropPull(b)
		e.want(b, "", 0)
	case oplog.ReasonUnknown:
		e.failPull(b)
		e.noteParted(e.peer(p.donor), []string{b.name})
	case oplog.ReasonGate:
		if p.reconcile {
			e.failPull(b) // which no donor refuses for this
			return
		}
		b.gatedBy = p.donor
		e.dropPull(b)
		e.want(b, p.donor, 0)
	case oplog.ReasonMoved:
		e.failPull(b) // its digest tells when it is worth another try
	case oplog.ReasonStale:
		e.dropPull(b)
		e.wantUnsettled(b)
		e.peer(p.donor).greetSoon(e)
	default:
		e.failPull(b)
	}
}
