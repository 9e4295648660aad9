package syncer

import (
	"errors"

	"replicator/oplog"
)

// ErrAmbiguous is, or is wrapped by, the Err of an event whose action would have
// made a replica write: what came may be older than a delete that was collected
// there. Nothing of the action was done.
var ErrAmbiguous = errors.New("a replica cannot issue again what may be older than a collected delete")

// refusedAsReplica counts how often in a row a replica's store met what it can
// neither take nor leave out: rules M3 and C6. It reports whether the bucket is
// being emptied, so that the failure has no other consequence.
//
// It is patient. The clock has not moved, and a master that meets the same
// issues it again: who pulls from there gets that instead. When patience has
// ended the bucket may go, but not before a master has all that is in it: the
// replica may be the last to hold a write whose author's disk is gone. So it
// asks the masters what they have; see heardAsReplica.
func (e *Engine) refusedAsReplica(b *bucket, err error) bool {
	if !e.self.Replica || !errors.Is(err, ErrAmbiguous) {
		return false
	}
	if b.wiping {
		return true
	}
	if b.unsure++; b.unsure == e.opt.WipeTries {
		e.do(Raise{
			Kind: EventUnsettled, Bucket: b.name,
			Text: "bucket " + b.name + " of this replica gets what may be older than a delete that was forgotten here: it is emptied and filled again once a master has all that it holds, or by: replicator reconcile --accept --bucket " + b.name,
		})
	}
	if e.unsettled(b) {
		for _, name := range sorted(e.peers) {
			if p := e.peers[name]; !p.inst.Replica && p.digests[b.name] != nil && e.reachable(p) {
				e.sendReport(p, b.name) // who hears a report answers with its own
			}
		}
	}
	return false
}

// unsettled reports whether the bucket is to be emptied as soon as a master is
// known to have all of it. Where a disk was lost none may ever be: what is held
// above a write that died with it is under nobody's clock.
func (e *Engine) unsettled(b *bucket) bool {
	return e.self.Replica && !b.wiping && b.unsure >= e.opt.WipeTries
}

// heardAsReplica empties the bucket if it has to be, and a master says, now,
// that it holds all of it durably. A report of before proves nothing: the master
// may have gone back to an older disk since.
func (e *Engine) heardAsReplica(p *peer, r *report, b *bucket) {
	if e.unsettled(b) && e.mayVouch(p, b.name) && e.hasAll(p, r, b.name) {
		decided := Wipe{Bucket: b.name, Clock: r.clock.Clone(), Ahead: e.store.Ahead(b.name).Clone()}
		decided.Ahead.Join(r.clock)
		e.empty(b, decided, p.name, p.name+" has all that it held")
	}
}

// mayVouch reports whether what the peer has is there to stay: it is a master that
// runs, is no member on its way out, and has lost no rows as far as sums tell.
func (e *Engine) mayVouch(p *peer, bucket string) bool {
	return !p.inst.Replica && e.reachable(p) && !e.closed(p.name) && !e.diverges(bucket, p)
}

// hasAll reports whether the peer has durably every write that is here. Extras
// are under no clock of ours, but may be under the peer's.
func (e *Engine) hasAll(p *peer, r *report, bucket string) bool {
	if !r.clock.GE(e.store.Clock(bucket)) {
		return false
	}
	pd := p.digests[bucket]
	return r.clock.GE(e.store.Ahead(bucket)) || pd.current && pd.last.Same(e.store.Durable(bucket))
}

// empty has the store empty the bucket, to be filled from others.
func (e *Engine) empty(b *bucket, decided Wipe, master, because string) {
	if p := b.pull; p != nil {
		e.sendTo(p, &oplog.Abort{Session: p.id, Bucket: p.bucket, Reason: oplog.ReasonFailed, Text: "starts over, empty"})
		e.dropPull(b)
	}
	// Nothing may be merged that was sorted by the clock of before.
	b.wiping, b.reconciling = true, true
	b.gatedBy = ""
	e.giveUp(b)
	e.do(Raise{
		Kind: EventWiped, Bucket: b.name, Peer: master,
		Text: "bucket " + b.name + " of this replica is emptied and filled again: what came may be older than a delete that was forgotten here; " + because,
	})
	e.do(decided)
}

func (e *Engine) wiped(ev Wiped) {
	b := e.bucket(ev.Bucket)
	clear(b.queued)
	b.wiping, b.startOver, b.byKey = false, false, false
	if ev.Err == nil {
		b.unsure = 0
	}
	b.donors, b.doubt = nil, nil
	b.reconciling = e.halfReconciled(b.name)
	// A wipe in vain is repeated by what led to it. Others need a moment to
	// settle what this node cannot.
	e.want(b, "", e.backoff(b))
}
