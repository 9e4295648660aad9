package syncer

import (
	"time"

	"replicator/oplog"
)

// A report is what a member said of itself: the durable clock of a bucket, and
// the timestamp that all its later writes are above. Rule G1.
type report struct {
	clock oplog.Clock
	hash  uint64 // of clock, if it is one of ours; 0: not known
	floor oplog.HLC
}

// noteReport takes a digest as a report if its clock is the one of our own
// durable state: then we know which it is.
func (e *Engine) noteReport(pd *peerDigest, d oplog.Digest) {
	if e.store.Durable(d.Bucket).Clock != d.Clock {
		if pd.unlikeSince.IsZero() {
			pd.unlikeSince = e.now
		}
		return
	}
	pd.unlikeSince = time.Time{}
	if r := pd.report; r != nil && r.hash == d.Clock && d.Clock != 0 {
		r.floor = d.Floor // as in most beats: a clock of thousands is not copied for each
		return
	}
	if own, clock := e.store.DurableState(d.Bucket); own.Clock == d.Clock { // else it just moved: the next beat tells
		pd.report = &report{clock: clock, hash: own.Clock, floor: d.Floor}
	}
}

// hearReport takes a report that was sent as such, for the digests of two busy
// nodes are never the same.
func (e *Engine) hearReport(m *oplog.Report) {
	p := e.peers[m.From.Node]
	if p == nil || p.inst.Nonce != m.From.Nonce {
		return
	}
	if !e.holds(m.Bucket) {
		e.partAgain(p, m.Bucket)
		return
	}
	clock := m.Clock
	if m.Folded {
		if m.From.Finals != e.self.Finals {
			return // what is left out is not known; its heartbeats tell which list we have
		}
		clock = clock.Unfold(e.finals[m.Bucket])
	}
	if pd := p.digests[m.Bucket]; pd != nil {
		pd.report = &report{clock: clock, floor: m.Floor}
		e.heardAsReplica(p, pd.report, e.bucket(m.Bucket))
		if e.parting[m.Bucket] && !p.heir[m.Bucket] && e.handedTo(p.name, m.Bucket) {
			p.greetIn(e, 0)
		}
		if e.now.Sub(pd.reported) > e.opt.AnswerTimeout {
			e.sendReport(p, m.Bucket) // so that both know; the answer is not answered
		}
	}
}

// tickCollect has tombstones collected that every member has, and sends reports
// to those who cannot tell our clock from its hash.
func (e *Engine) tickCollect(b *bucket) {
	if b.collectAt.IsZero() {
		b.collectAt = e.now.Add(e.opt.CollectEvery/2 + e.jitter(e.opt.CollectEvery))
	}
	if !e.passed(b.collectAt) {
		return
	}
	b.collectAt = e.now.Add(e.opt.CollectEvery)
	e.at(b.collectAt)
	e.tickFinals(b)
	if !e.store.Collectable(b.name) {
		return
	}
	e.sendReports(b)
	if !e.MayCollect(b.name) {
		return
	}
	if stable, upto, ok := e.stability(b); ok {
		e.do(Collect{Bucket: b.name, Stable: stable, Upto: upto})
	}
}

// MayCollect reports whether tombstones of the bucket may go now, those that all have
// seen or that are old: not while one side of a reconcile or a repair would have to
// start over for it.
func (e *Engine) MayCollect(bucket string) bool {
	b := e.buckets[bucket]
	if b == nil {
		return false
	}
	mends := b.pull != nil && b.pull.repair != nil
	return !b.reconciling && !mends && !e.doubleSince(doublePause) && !e.helpsReconcile(b)
}

// doublePause is for how long nothing is collected after another instance with
// our name was heard: who is behind that name is not clear.
const doublePause = time.Hour

// helpPause is for how long nothing is collected after a reconcile was served: a
// cut one goes on, and would have to start over if more had been collected.
const helpPause = 5 * time.Minute

func (e *Engine) helpsReconcile(b *bucket) bool {
	return !b.helped.IsZero() && e.now.Sub(b.helped) < helpPause
}

func (e *Engine) doubleSince(d time.Duration) bool {
	return !e.doubled.IsZero() && e.now.Sub(e.doubled) < d
}

// stability returns what every member that counts covers durably, and the
// timestamp that the later writes of all are above: rule G2. It is not ok while
// some member's report is missing or says more than we cover ourselves.
func (e *Engine) stability(b *bucket) (stable oplog.Clock, upto oplog.HLC, ok bool) {
	own := e.store.Clock(b.name)
	stable, upto = own, oplog.HLC(1<<64-1)
	for _, m := range e.members {
		if !e.counts(m, b.name) {
			continue
		}
		r := e.reportOf(m.Node, b.name)
		if r == nil || !own.GE(r.clock) {
			return nil, 0, false
		}
		stable, upto = stable.Meet(r.clock), min(upto, r.floor)
	}
	return stable, upto, true
}

func (e *Engine) reportOf(node, bucket string) *report {
	if p := e.peers[node]; p != nil && p.digests[bucket] != nil {
		return p.digests[bucket].report
	}
	return nil
}

// sendReports tells those peers our durable clock that for long had another.
func (e *Engine) sendReports(b *bucket) {
	for _, name := range sorted(e.peers) {
		p := e.peers[name]
		pd := p.digests[b.name]
		if pd == nil || !e.reachable(p) || pd.unlikeSince.IsZero() || e.now.Sub(pd.unlikeSince) < e.opt.ReportAfter {
			continue
		}
		pd.unlikeSince = e.now
		e.sendReport(p, b.name)
	}
}

// sendReport tells a peer our durable clock of a bucket.
func (e *Engine) sendReport(p *peer, bucket string) {
	if pd := p.digests[bucket]; pd != nil {
		pd.reported = e.now
	}
	own, clock := e.store.DurableState(bucket)
	rows, folded := e.foldFor(p.inst.Finals, bucket, clock, clock)
	e.do(Send{To: p.name, Bucket: bucket, Session: e.session(), Message: &oplog.Report{
		From: e.self, Bucket: bucket, Clock: rows, Floor: own.Floor, Folded: folded,
	}})
}
