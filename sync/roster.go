package syncer

import (
	"time"

	"replicator/oplog"
)

// A MemberState is how a member stands, as far as this node has heard.
type MemberState string

// The states of a member. The last two are what the fleet has been told; the
// others each node finds out for itself.
const (
	MemberLive      MemberState = "live"      // heard lately
	MemberStopped   MemberState = "stopped"   // said that it stops, and will be back
	MemberOverdue   MemberState = "overdue"   // silent for longer than a node may be
	MemberEvicted   MemberState = "evicted"   // silent for EvictAfter: tombstones are collected without it
	MemberLeft      MemberState = "left"      // said goodbye for good
	MemberForgotten MemberState = "forgotten" // an operator said that it does not come back
)

// A Retired says since when a member is none any more, and who said so. Where
// it is replicated is the caller's to know.
type Retired struct {
	State MemberState // MemberLeft or MemberForgotten
	By    string      // the node that was told
	At    time.Time
}

// A MemberStatus is how a member stands. Its slices are the caller's.
type MemberStatus struct {
	Node    string
	Replica bool
	State   MemberState
	Heard   time.Time // zero: never
	Buckets []string  // that it holds
	HoldsUp []string  // of those, where tombstones wait for it
	Retired Retired   // zero unless left or forgotten
}

// closed reports whether the member left or was forgotten. It does not count
// for anything then; what it wrote counts as what anybody wrote.
func (e *Engine) closed(node string) bool {
	_, gone := e.retired[node]
	return gone
}

// heardOf returns when a member was heard last, in this life or an earlier one.
func (e *Engine) heardOf(m *Member) time.Time {
	if p := e.peers[m.Node]; p != nil && p.heard.After(m.Heard) {
		return p.lastHeard()
	}
	return m.Heard
}

// overdueAfter is how long a member may be silent. An idle one beats once a
// minute, a quarter more or less; one of a large fleet less often.
func (e *Engine) overdueAfter() time.Duration {
	return e.longestPause() * 5 / 2
}

func (e *Engine) stateOf(m *Member) MemberState {
	if r, gone := e.retired[m.Node]; gone {
		return r.State
	}
	p, heard := e.peers[m.Node], e.heardOf(m)
	switch silent := e.now.Sub(heard); {
	case silent >= e.evictAfter(m):
		return MemberEvicted
	case p != nil && p.gone:
		return MemberStopped
	case p == nil || p.heard.IsZero() || silent > e.overdueAfter():
		return MemberOverdue
	}
	return MemberLive
}

// recallEvicted notes which members an earlier process has found evicted: that
// is not told again.
func (e *Engine) recallEvicted() {
	for name, m := range e.members {
		if e.now.Sub(m.Heard) >= e.evictAfter(m) {
			e.told[name] = MemberEvicted
		}
	}
}

// reviewMembers tells of those that have become overdue or evicted. Nobody is
// overdue that could not be heard, for we were not connected.
func (e *Engine) reviewMembers() {
	for _, name := range sorted(e.members) {
		m := e.members[name]
		state, told := e.stateOf(m), e.told[name]
		switch {
		case state == told, told == MemberEvicted:
		case state == MemberOverdue && e.now.Sub(e.onlineSince) > e.overdueAfter():
			e.raiseMember(EventOverdue, name, name+" was not heard for "+spell(e.now.Sub(e.heardOf(m)))+
				": what it may lack is kept for it")
			e.told[name] = state
		case state == MemberEvicted:
			e.raiseMember(EventEvicted, name, name+" was not heard for "+spell(e.evictAfter(m))+
				": tombstones are collected without it; it compares all its rows should it return")
			e.told[name] = state
		}
	}
}

// welcome tells of a member that was overdue or evicted and is heard again.
func (e *Engine) welcome(node string) {
	if told := e.told[node]; told != "" {
		delete(e.told, node)
		e.raiseMember(EventReturned, node, node+" is heard again, it was "+string(told))
	}
}

func (e *Engine) raiseMember(kind EventKind, node, text string) {
	e.do(Raise{Kind: kind, Peer: node, Text: text})
}

// spell writes a duration without what nobody reads.
func spell(d time.Duration) string {
	if d >= 48*time.Hour {
		return d.Round(time.Hour).String()
	}
	return d.Round(time.Second).String()
}

// setRetired takes over who has left or was forgotten, and tells of what is new.
func (e *Engine) setRetired(nodes map[string]Retired) {
	old := e.retired
	e.retired = nodes
	for _, name := range sorted(nodes) {
		if r := nodes[name]; old[name].State != r.State {
			delete(e.told, name)
			if r.State == MemberLeft {
				e.raiseMember(EventLeft, name, name+" has left the fleet for good")
			} else {
				e.raiseMember(EventForgotten, name, name+" was forgotten, as "+r.By+" was told: its origins are closed")
			}
		}
	}
	for _, name := range sorted(old) {
		if !hasKey(nodes, name) {
			e.raiseMember(EventReadmitted, name, name+" is a member again")
		}
	}
}

func hasKey[V any](m map[string]V, key string) bool { _, ok := m[key]; return ok }

// Members returns every other node that is known of, by name: those heard, now
// or not long ago, and those that are members no more.
func (e *Engine) Members() []MemberStatus {
	waiting := map[string]bool{}
	for name := range e.buckets {
		waiting[name] = e.store.Collectable(name)
	}
	list := map[string]MemberStatus{}
	for name, m := range e.members {
		s := MemberStatus{Node: name, State: e.stateOf(m), Replica: m.Replica, Heard: e.heardOf(m), Retired: e.retired[name]}
		for _, bucket := range m.Buckets {
			s.Buckets = append(s.Buckets, bucket)
			if waiting[bucket] && e.holdsUp(m, bucket, s.State) {
				s.HoldsUp = append(s.HoldsUp, bucket)
			}
		}
		list[name] = s
	}
	for name, r := range e.retired {
		if _, known := list[name]; !known && name != e.self.Node {
			list[name] = MemberStatus{Node: name, State: r.State, Retired: r}
		}
	}
	out := make([]MemberStatus, 0, len(list))
	for _, name := range sorted(list) {
		out = append(out, list[name])
	}
	return out
}

// Known reports whether this node holds a bucket, or has heard that another one does.
func (e *Engine) Known(bucket string) bool { return e.holds(bucket) || e.spoken[bucket] }

// holdsUp reports whether tombstones of the bucket wait for the member: it has
// said nothing yet, or is silent and last said less than we have. One that is
// heard catches up by itself.
func (e *Engine) holdsUp(m *Member, bucket string, state MemberState) bool {
	if !e.counts(m, bucket) {
		return false
	}
	r := e.reportOf(m.Node, bucket)
	if r == nil || state == MemberLive {
		return r == nil
	}
	return !r.clock.GE(e.store.Clock(bucket))
}

// Lacking returns, by bucket, which of our writes at the time of HandOver some
// live master may lack: its name, or none where no live master holds the bucket.
// It is empty once all is handed over. Of a bucket that is parted with it is enough
// that one has all and keeps it.
func (e *Engine) Lacking() map[string][]string {
	lacking := map[string][]string{}
	for _, bucket := range sorted(e.handing) {
		if e.handing[bucket] == nil || !e.holds(bucket) {
			lacking[bucket] = nil // nothing is known of it yet
			continue
		}
		if e.parting[bucket] {
			if none, heirs := e.heirless(bucket); none {
				lacking[bucket] = heirs
			}
			continue
		}
		heirs := 0
		for _, name := range sorted(e.members) {
			m := e.members[name]
			if e.stateOf(m) != MemberLive || !m.holds(bucket) || m.Replica { // a replica may empty itself
				continue
			}
			if heirs++; !e.handedTo(name, bucket) {
				lacking[bucket] = append(lacking[bucket], name)
			}
		}
		if heirs == 0 && (len(e.handing[bucket]) > 0 || e.store.Durable(bucket).Ahead != 0) {
			lacking[bucket] = nil
		}
	}
	return lacking
}

// handedTo reports whether a peer has said that it has durably what is handed
// over. Extras are under no clock: while there are some, all has to be equal.
func (e *Engine) handedTo(node, bucket string) bool {
	r := e.reportOf(node, bucket)
	if r == nil || !r.clock.GE(e.handing[bucket]) || e.diverges(bucket, e.peers[node]) {
		return false
	}
	own, pd := e.store.Durable(bucket), e.peers[node].digests[bucket]
	return own.Ahead == 0 || pd.current && pd.last.Same(own)
}

// handOverEvery is how often a node that hands over asks for reports.
const handOverEvery = time.Second

// handOver notes what the others have to have before this node may go. With no buckets
// it stays: what was about to be left is held as before.
func (e *Engine) handOver(buckets []string) {
	e.handing = map[string]oplog.Clock{}
	if len(buckets) == 0 {
		e.stay()
	}
	for _, name := range buckets {
		e.handing[name] = nil
		if e.holds(name) {
			_, e.handing[name] = e.store.DurableState(name)
			e.touch(name)
		}
	}
	e.handAt = e.now
	e.at(e.now)
}

// tickHandOver sends our clock to those that may lack something: who hears a
// report answers with its own.
func (e *Engine) tickHandOver() {
	if !e.passed(e.handAt) {
		return
	}
	lacking := e.Lacking()
	if e.handAt = (time.Time{}); len(lacking) == 0 {
		return
	}
	for _, bucket := range sorted(lacking) {
		for _, name := range lacking[bucket] {
			if e.parting[bucket] && e.handedTo(name, bucket) {
				e.peers[name].greetIn(e, 0) // again: it may have begun to part itself, and given up
			} else {
				e.sendReport(e.peers[name], bucket)
			}
		}
	}
	e.handAt = e.now.Add(handOverEvery)
	e.at(e.handAt)
}
