package simnet

import (
	"fmt"
	"slices"
	"time"

	syncer "replicator/sync"
)

const (
	partPause = 200 * time.Millisecond // between two looks whether a bucket may be left
	partTries = 100                    // after so many it stays
	// partTime is how long a bucket is left at most, unless the config says how long:
	// fleets settle within settleTime.
	partTime = 10 * time.Second
)

// holds reports whether the node runs and its store holds the bucket.
func (n *Node) holds(bucket string) bool {
	if !n.up {
		return false
	}
	_, ok := n.store.Bucket(bucket)
	return ok
}

// Part has the node leave a bucket once the others are known to have all that it
// holds, and join it again some time later.
func (n *Node) Part(bucket string) {
	if !n.holds(bucket) || n.parting[bucket] || n.w.quiet {
		return
	}
	n.parting[bucket] = true // no more writes
	n.step(syncer.HandOver{Buckets: []string{bucket}})
	n.partSoon(bucket, partTries, false)
}

// partSoon waits until others have all, tells that this node keeps it no more, and
// waits until somebody has said that it does.
func (n *Node) partSoon(bucket string, tries int, parting bool) {
	n.later(partPause, func() {
		unsynced := len(n.waiting[bucket]) > 0
		switch lacking := n.engine.Lacking(); {
		case tries == 0:
			delete(n.parting, bucket)
			n.step(syncer.HandOver{})
		case unsynced || len(lacking) > 0:
			n.partSoon(bucket, tries-1, parting)
		case !parting:
			n.step(syncer.Parting{Bucket: bucket})
			n.partSoon(bucket, tries-1, true)
		default:
			b, _ := n.store.Bucket(bucket)
			n.step(syncer.Left{Bucket: bucket, Wrote: b.Wrote()})
			n.dropSoon(bucket)
		}
	})
}

// dropSoon drops the bucket when what the store was asked for has ended.
func (n *Node) dropSoon(bucket string) {
	n.later(n.moment(), func() {
		if len(n.applies[bucket]) > 0 {
			n.dropSoon(bucket)
			return
		}
		n.sendReadersOf(bucket)
		n.report(n.store.Drop(bucket))
		if n.holds(bucket) || !slices.Contains(n.store.Left(), bucket) {
			n.blame(fmt.Errorf("%s still holds %s", n.name, bucket))
		}
		delete(n.parting, bucket)
		delete(n.marks, bucket)
		delete(n.witnesses, bucket)
		n.w.Stats.Count[Parts]++
		n.w.note("%s leaves %s", n.name, bucket)
		n.comeBack(bucket)
	})
}

// comeBack joins a bucket that was left after a while.
func (n *Node) comeBack(bucket string) {
	away := n.w.cfg.Away
	if away == 0 {
		away = time.Duration(n.w.rnd.Int64N(int64(partTime)))
	}
	n.later(away, func() {
		if n.full {
			n.comeBack(bucket)
			return
		}
		n.join(bucket)
	})
}

func (n *Node) join(bucket string) {
	_, err := n.store.Join(bucket)
	n.report(err)
	n.witness(bucket)
	n.openHub(bucket)
	n.w.note("%s joins %s", n.name, bucket)
	n.tell(syncer.Joined{Bucket: bucket})
}

// joinHeard joins a bucket that others spoke of. It must not be one that was left.
func (n *Node) joinHeard(bucket string) {
	if slices.Contains(n.store.Left(), bucket) {
		n.blame(fmt.Errorf("%s joins %s, which it has left, for being heard of", n.name, bucket))
	}
	n.join(bucket)
}
