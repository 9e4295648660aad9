package simnet

import (
	"time"

	syncer "replicator/sync"
)

// operatorPause is how long a reconcile that is doubted waits for the operator at
// most: fleets settle within settleTime.
const operatorPause = 20 * time.Second

// callOperator has a doubt accepted after a while, if it still stands then.
func (n *Node) callOperator(bucket string) {
	if n.w.cfg.Operator {
		n.later(time.Duration(n.w.rnd.Int64N(int64(operatorPause))), func() { n.Accept(bucket) })
	}
}

// Accept lets a reconcile that waits remove what it found, and reports whether
// one waited.
func (n *Node) Accept(bucket string) bool {
	if !n.up || n.engine.Bucket(bucket).Doubt == nil {
		return false
	}
	n.w.Stats.Count[Accepted]++
	n.w.note("%s: the operator accepts what the reconcile of %s removes", n.name, bucket)
	n.step(syncer.AcceptDoubt{Bucket: bucket})
	return true
}
