package simnet

import (
	"time"

	syncer "replicator/sync"
)

const (
	// operatorPause is how long a reconcile that is doubted waits for the operator
	// at most: fleets settle within settleTime.
	operatorPause = 20 * time.Second
	// emptyPause is how much longer a replica that is to be emptied waits: a master
	// that can be reached has all of it by then.
	emptyPause = 10 * time.Second
)

// callOperator has a doubt accepted after a while, if it still stands then.
func (n *Node) callOperator(bucket string, wait time.Duration) {
	if n.w.cfg.Operator {
		n.later(wait+time.Duration(n.w.rnd.Int64N(int64(operatorPause))), func() { n.Accept(bucket) })
	}
}

// Accept lets a reconcile that waits remove what it found, or a replica empty its
// bucket, and reports whether one waited.
func (n *Node) Accept(bucket string) bool {
	if !n.up {
		return false
	}
	d := n.engine.Bucket(bucket).Doubt
	if d == nil {
		return false
	}
	n.w.Stats.Count[Accepted]++
	n.ordered = d.Empties
	n.w.note("%s: the operator accepts what is removed from %s", n.name, bucket)
	n.step(syncer.AcceptDoubt{Bucket: bucket, Most: d.Removes, Empties: d.Empties})
	return true
}
