package syncer

import (
	"slices"
	"time"

	"replicator/oplog"
)

// A Member is a node that shares buckets with this one, now or not long ago.
// What it has not seen is not collected, until it was silent for EvictAfter, or
// EvictReplicasAfter.
type Member struct {
	Node    string
	Heard   time.Time // the last heartbeat, to the hour or so
	Buckets []string  // that it holds, sorted
	Replica bool      // it never writes
}

// maxMembers bounds how many members are remembered. Any above it do not count:
// they reconcile, should they have missed what was collected.
const maxMembers = 4096

// rememberEvery is how often the time of a member's last heartbeat is stored.
const rememberEvery = time.Hour

// noteMember remembers who was heard, and that it holds the bucket of each
// digest.
func (e *Engine) noteMember(node string, digests ...oplog.Digest) {
	m := e.members[node]
	if m == nil {
		if len(e.members) == maxMembers {
			return
		}
		m = &Member{Node: node}
		e.members[node] = m
	}
	news := e.now.Sub(m.Heard) >= rememberEvery
	if p := e.peers[node]; p != nil && p.inst.Replica != m.Replica {
		m.Replica, news = p.inst.Replica, true
	}
	for _, d := range digests {
		if i, known := slices.BinarySearch(m.Buckets, d.Bucket); !known && e.holds(d.Bucket) {
			m.Buckets = slices.Insert(m.Buckets, i, d.Bucket)
			news = true
		}
	}
	if news {
		m.Heard = e.now
		e.saveMember(m)
	}
}

// mistrustMembers takes those that were heard in the future for heard now: the
// wall clock was wrong then, and they would count for as long as it had been.
func (e *Engine) mistrustMembers() {
	for _, m := range e.members {
		if m.Heard.After(e.started) {
			m.Heard = e.started
		}
	}
}

// noteAbsent takes a peer's word that it does not hold the bucket.
func (e *Engine) noteAbsent(node, bucket string) {
	m := e.members[node]
	if m == nil {
		return
	}
	if i, known := slices.BinarySearch(m.Buckets, bucket); known {
		m.Buckets = slices.Delete(m.Buckets, i, i+1)
		e.saveMember(m)
	}
}

func (e *Engine) saveMember(m *Member) {
	e.do(SaveMember{Member{Node: m.Node, Heard: m.Heard, Buckets: slices.Clone(m.Buckets), Replica: m.Replica}})
}

func (m *Member) holds(bucket string) bool {
	_, holds := slices.BinarySearch(m.Buckets, bucket)
	return holds
}

// counts reports whether what the member lacks of the bucket may not be
// collected: rule G4.
func (e *Engine) counts(m *Member, bucket string) bool {
	if !m.holds(bucket) || e.closed(m.Node) {
		return false
	}
	return e.now.Sub(e.heardOf(m)) < e.evictAfter(m)
}

// evictAfter is how long the member may be silent. A replica has nothing of its
// own, and little is lost if it has to begin anew.
func (e *Engine) evictAfter(m *Member) time.Duration {
	if m.Replica {
		return e.opt.EvictReplicasAfter
	}
	return e.opt.EvictAfter
}
