package simnet

import (
	"errors"
	"fmt"

	"replicator/carry"
	"replicator/store"
	syncer "replicator/sync"
)

// mustNotWrite blames a replica that took a write.
func (n *Node) mustNotWrite(err error) {
	n.w.Stats.Count[Denied]++
	if !errors.Is(err, store.ErrReplica) {
		n.blame(fmt.Errorf("replica %s: a write was answered with %w", n.name, err))
	}
}

// wipe empties a replica's bucket. No write goes with it, not even of a disk that
// was lost: the ledger keeps them all, unless the operator wanted it so.
func (n *Node) wipe(a syncer.Wipe) syncer.Wiped {
	ev := carry.Wipe(n.store, a)
	if ev.Err != nil {
		return ev
	}
	n.w.Stats.Count[Wipes]++
	if n.ordered {
		n.ordered = false
		n.w.Stats.Count[Ordered]++
		n.w.ledger.forget(n)
	}
	n.witness(a.Bucket) // a watch ends with a wipe
	n.hubs[a.Bucket].End(errWiped)
	n.wakeReaders(a.Bucket)
	delete(n.marks, a.Bucket)
	n.w.note("%s empties %s", n.name, a.Bucket)
	if b, _ := n.store.Bucket(a.Bucket); len(b.Clock())+len(b.Ahead())+int(b.Keys()+b.Tombstones()) > 0 || b.Guard() > 0 || b.Reconciling() {
		n.blame(fmt.Errorf("replica %s: something is left of %s after a wipe", n.name, a.Bucket))
	}
	return ev
}

// checkReplica blames a replica that has an origin of its own.
func checkReplica(v view) error {
	if v.node.replica && !v.bucket.Origin().IsZero() {
		return fmt.Errorf("replica %s writes as %s", v.node.name, v.bucket.Origin())
	}
	return nil
}
