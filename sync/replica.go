package syncer

import (
	"errors"

	"replicator/oplog"
)

// ErrAmbiguous is, or is wrapped by, the Err of an event whose action would have
// made a replica write: what came may be older than a delete that was collected
// there. Nothing of the action was done.
var ErrAmbiguous = errors.New("a replica cannot issue again what may be older than a collected delete")

// mustWipe reports whether a replica's bucket is emptied, to be filled from
// others, for its store has met what it can neither take nor leave out: rules M3
// and C6. It holds no write that nobody else has seen.
//
// Before that it is patient. The clock has not moved, and a master that meets
// the same issues it again: who pulls from there gets that instead.
func (e *Engine) mustWipe(b *bucket, err error) bool {
	if !e.self.Replica || !errors.Is(err, ErrAmbiguous) {
		return false
	}
	if b.wiping {
		return true
	}
	if b.unsure++; b.unsure < e.opt.WipeTries {
		return false
	}
	if p := b.pull; p != nil {
		e.sendTo(p, &oplog.Abort{Session: p.id, Bucket: p.bucket, Reason: oplog.ReasonFailed, Text: "starts over, empty"})
		e.dropPull(b)
	}
	// Nothing may be merged that was sorted by the clock of before.
	b.wiping, b.reconciling = true, true
	b.gatedBy = ""
	e.giveUp(b)
	e.do(Raise{
		Kind: EventWiped, Bucket: b.name,
		Text: "bucket " + b.name + " of this replica is emptied and filled again: what came may be older than a delete that was forgotten here",
	})
	e.do(Wipe{Bucket: b.name})
	return true
}

func (e *Engine) wiped(ev Wiped) {
	b := e.bucket(ev.Bucket)
	clear(b.queued)
	b.wiping, b.startOver, b.byKey, b.unsure = false, false, false, 0
	b.reconciling = e.halfReconciled(b.name)
	// A wipe in vain is repeated by what led to it. Others need a moment to
	// settle what this node cannot.
	e.want(b, "", e.backoff(b))
}
