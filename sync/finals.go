package syncer

import (
	"replicator/oplog"
)

// An origin is written no more once its node has drawn another: a start after a
// crash does. Its row stays in every clock for ever. So that clocks need not
// carry such rows from node to node, the fleet keeps a list of finals: by bucket,
// the last seqs of origins that have ended. Of two nodes with the same list, one
// sends the other a clock without the rows that are as in the list: rule I5.
// What a clock covers does not depend on the list: one that is wrong folds less.

// setFinals takes over the list that is replicated in Fleet.
func (e *Engine) setFinals(list map[string]oplog.Clock) {
	e.finals, e.self.Finals = list, oplog.HashFinals(list)
}

// foldFor leaves out of rows, which are of the clock whole, what a node with that
// list can put back. It reports whether it did. A clock that does not cover the
// list stays as it is.
func (e *Engine) foldFor(list uint64, bucket string, whole, rows oplog.Clock) (oplog.Clock, bool) {
	finals := e.finals[bucket]
	if list == 0 || list != e.self.Finals || len(finals) == 0 || !whole.GE(finals) {
		return rows, false
	}
	return rows.Fold(finals), true
}

// maxFinals bounds how many origins are told of at once.
const maxFinals = 1024

// tickFinals tells the fleet of origins that have ended, once there are many that
// all members cover. Telling takes a write: it is worth one only if that does not
// draw an epoch, which would be the next to end.
func (e *Engine) tickFinals(b *bucket) {
	drawn := e.drawn()
	if len(drawn) == 0 || e.self.Replica || e.fenced || e.closed(e.self.Node) || e.doubleSince(doublePause) {
		return
	}
	ended := e.ended(b, drawn)
	if len(ended) < e.opt.FoldAt {
		return
	}
	e.sendReports(b)
	stable, _, ok := e.stability(b)
	if !ok {
		return
	}
	finals := oplog.Clock{}
	for _, o := range ended.Origins() {
		if stable[o] == ended[o] && len(finals) < maxFinals {
			finals[o] = ended[o]
		}
	}
	if len(finals) >= e.opt.FoldAt {
		e.do(TellFinals{Bucket: b.name, Finals: finals})
	}
}

// drawn returns the epochs that this process may write under: none before its
// first write, and two if one was given up since a bucket was written last.
func (e *Engine) drawn() map[oplog.Epoch]bool {
	epochs := map[oplog.Epoch]bool{}
	for name := range e.buckets {
		if epoch := e.store.Durable(name).Epoch; epoch != 0 {
			epochs[epoch] = true
		}
	}
	return epochs
}

// ended returns the rows of the clock that this node should put on the list:
// those of its own origins but the current one, and of nodes that are members no
// more. Who holds extras of an origin does not know its last seq.
func (e *Engine) ended(b *bucket, drawn map[oplog.Epoch]bool) oplog.Clock {
	heir := e.heir(b)
	ahead, known, ended := e.store.Ahead(b.name), e.finals[b.name], oplog.Clock{}
	for o, seq := range e.store.Clock(b.name) {
		mine := o.Node == e.self.Node && !drawn[o.Epoch] || heir && e.closed(o.Node)
		if mine && known[o] != seq && ahead[o] == 0 {
			ended[o] = seq
		}
	}
	return ended
}

// heir reports whether this node is the one that tells of nodes which are members
// no more: the live master with the least name. Two that believe so tell the
// same.
func (e *Engine) heir(b *bucket) bool {
	for name, m := range e.members {
		if name < e.self.Node && !m.Replica && m.holds(b.name) && e.stateOf(m) == MemberLive {
			return false
		}
	}
	return true
}
