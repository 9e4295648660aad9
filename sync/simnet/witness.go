package simnet

import (
	"fmt"
	"maps"

	"replicator/oplog"
	"replicator/store"
)

// A witness watches a bucket of a node as an application does: it has what the
// bucket held when it came, and hears of each change.
type witness struct {
	told map[string]oplog.Stamp // live rows only
	live map[oplog.Origin]oplog.Seq
	last map[string]oplog.Stamp // of each key, deleted or not

	// A damaged row was in the way when it came: what lies behind it, it never saw.
	blind bool
}

// witness begins to watch a bucket of a node that has just started.
func (n *Node) witness(bucket string) {
	b, _ := n.store.Bucket(bucket)
	w := &witness{told: map[string]oplog.Stamp{}, live: map[oplog.Origin]oplog.Seq{}, last: map[string]oplog.Stamp{}}
	for e, err := range b.Scan(store.ScanOptions{}) {
		if w.blind = store.IsCorrupt(err); w.blind {
			break
		}
		n.report(err)
		w.last[string(e.Key)] = e.Stamp
		if !mayGo(&e) {
			w.told[string(e.Key)] = e.Stamp
		}
	}
	n.witnesses[bucket] = w
}

// A road is how a change came.
type road int

const (
	byLive road = iota // own writes too: each origin's in the order of its seqs
	byPage
	byReconcile // which may put an older row in the place of one that was deleted
	byRepair    // which may put the same one in the place of one that was damaged
)

// changed has the witness hear of changes, and blames the node for one that
// does not fit what was told before.
func (n *Node) changed(bucket string, list []store.Change, by road) {
	w := n.witnesses[bucket]
	for i := range list {
		e := &list[i].Entry
		n.queued[bucket] = append(n.queued[bucket], e.Dot())
		if (by == byReconcile || by == byRepair) && !w.last[string(e.Key)].Less(e.Stamp) {
			n.back[bucket][e.Dot()] = true
		}
		w.last[string(e.Key)] = e.Stamp
		if before, held := w.told[string(e.Key)]; held {
			removed := e.Tombstone && e.Stamp == before                          // by a reconcile
			older := !before.Less(e.Stamp) && !n.w.spared(bucket, string(e.Key)) // what was told of may be lost
			if older && !removed && by != byReconcile && by != byRepair {
				n.blame(fmt.Errorf("%s tells of %s/%q %s after %s", n.name, bucket, e.Key, e.Stamp, before))
			}
		}
		if by == byLive {
			if seq := w.live[e.Stamp.Origin]; seq >= e.Stamp.Seq {
				n.blame(fmt.Errorf("%s tells of %s in %s after %d", n.name, e.Dot(), bucket, seq))
			}
			w.live[e.Stamp.Origin] = e.Stamp.Seq
		}
		if mayGo(e) {
			delete(w.told, string(e.Key))
		} else {
			w.told[string(e.Key)] = e.Stamp
		}
	}
}

// checkWitness: whoever has watched from the start on knows every row as it is.
func checkWitness(v view) error {
	watch := v.node.witnesses[v.bucket.Name()]
	if watch.blind {
		return nil
	}
	told := watch.told
	if !v.whole {
		told = maps.Clone(told)
		maps.DeleteFunc(told, func(key string, _ oplog.Stamp) bool { return v.node.w.spared(v.bucket.Name(), key) })
	}
	for key, e := range v.rows {
		if !mayGo(&e) && told[key] != e.Stamp {
			return fmt.Errorf("watch: %s/%s holds %q as %s, told was %s", v.node.name, v.bucket.Name(), key, e.Stamp, told[key])
		}
	}
	if v.live != len(told) {
		return fmt.Errorf("watch: %s/%s holds %d rows, %d were told", v.node.name, v.bucket.Name(), v.live, len(told))
	}
	return nil
}

// A mark is how far a bucket had come when it was last looked at.
type mark struct {
	clock oplog.Clock
	hlc   oplog.HLC
}

// checkForward: clocks and timestamps never go back. Over a crash they may, but
// not below what was on disk.
func checkForward(v view) error {
	name := v.bucket.Name()
	before, now := v.node.marks[name], mark{v.clock, v.bucket.HLC()}
	if !now.clock.GE(before.clock) || now.hlc < before.hlc {
		return fmt.Errorf("%s/%s went back from clock %v timestamp %s to %v %s", v.node.name, name, before.clock, before.hlc, now.clock, now.hlc)
	}
	v.node.marks[name] = now
	return nil
}

// settleMarks takes the marks back to what is on disk: a crash follows.
func (n *Node) settleMarks() {
	for _, bucket := range n.store.Buckets() {
		b, _ := n.store.Bucket(bucket)
		n.marks[bucket] = mark{b.DurableClock(), b.Durable().Floor}
	}
}
