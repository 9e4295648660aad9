package syncer

import (
	"slices"

	"replicator/oplog"
)

// part begins to part with a bucket. Of two nodes that part with it at the same time
// neither may count on the other: each first says that it keeps it no more, and then
// asks. So one of them at least hears that of the other.
func (e *Engine) part(name string) {
	if !e.holds(name) {
		return
	}
	e.parting[name] = true
	if e.handing == nil {
		e.handing = map[string]oplog.Clock{}
	}
	_, e.handing[name] = e.store.DurableState(name)
	for _, peer := range sorted(e.peers) {
		p := e.peers[peer]
		delete(p.heir, name)
		p.endHello(e) // what it answers was asked before
	}
	e.handAt = e.now
	e.at(e.now)
}

// stay takes back that buckets are parted with. Who has heard of that hears that they
// are held.
func (e *Engine) stay() {
	if len(e.parting) == 0 {
		return
	}
	for _, name := range sorted(e.parting) {
		e.touch(name)
	}
	clear(e.parting)
	e.greetAll()
}

// noteHeir takes from an answer that the peer keeps buckets which are parted with. It
// has to have all by then: should it part itself later, that is among what it hands
// over. One that knows of bad rows has not.
func (e *Engine) noteHeir(p *peer, h *hello, m *oplog.HelloReply) {
	for _, d := range h.asked {
		keeps := !slices.Contains(m.Unknown, d.Bucket) && !slices.Contains(m.Unsure, d.Bucket)
		if e.parting[d.Bucket] && keeps && e.handedTo(p.name, d.Bucket) {
			p.heir[d.Bucket] = true
		}
	}
}

// heirless reports whether no master is known to keep all of a bucket that is parted
// with, and who may come to. One in which nothing was ever written needs none.
func (e *Engine) heirless(bucket string) (none bool, heirs []string) {
	if len(e.handing[bucket]) == 0 && e.store.Durable(bucket).Ahead == 0 {
		return false, nil
	}
	for _, name := range sorted(e.members) {
		m, p := e.members[name], e.peers[name]
		if p == nil || m.Replica || e.stateOf(m) != MemberLive || !m.holds(bucket) {
			continue
		}
		if p.heir[bucket] && e.handedTo(name, bucket) {
			return false, nil
		}
		heirs = append(heirs, name)
	}
	return true, heirs
}

// leaveBucket forgets a bucket. Who asks about it is answered from now on as if it
// had never been here, and who believes that it is gets told: nobody may wait for
// what this node has not seen of it.
func (e *Engine) leaveBucket(name string, wrote oplog.Clock) {
	e.left[name], e.wrote[name] = true, wrote
	b := e.buckets[name]
	if b == nil {
		return
	}
	if p := b.pull; p != nil {
		e.sendTo(p, &oplog.Abort{Session: p.id, Bucket: name, Reason: oplog.ReasonFailed, Text: "the bucket is left"})
		e.dropPull(b)
	}
	for _, s := range e.sortedServes() {
		if s.bucket == name {
			e.refuseServe(s, oplog.ReasonUnknown, "the bucket is left")
		}
	}
	delete(e.buckets, name)
	delete(e.beat.fresh, name)
	delete(e.handing, name)
	delete(e.parting, name)
	for _, peer := range sorted(e.peers) {
		p := e.peers[peer]
		delete(p.digests, name)
		delete(p.parted, name)
		if e.reachable(p) {
			p.greetIn(e, 0) // one that is about to leave it, too, is to hear soon
		}
	}
}

// untold returns buckets that this node left and of which the peer may not know it,
// as many as a message takes.
func (e *Engine) untold(p *peer) []string {
	var list []string
	for _, name := range sorted(e.left) {
		if len(list) < oplog.MaxDigests && !p.parted[name] {
			list = append(list, name)
		}
	}
	return list
}

// noteParted takes a peer's word that it does not hold the buckets.
func (e *Engine) noteParted(p *peer, buckets []string) {
	for _, name := range buckets {
		delete(p.digests, name)
		e.noteAbsent(p.name, name)
	}
}

// askOfTheUnsaid greets a peer that is noted as holding a bucket and has said nothing of
// it: it may have left it, and our note of that may be lost.
func (e *Engine) askOfTheUnsaid(p *peer) {
	m := e.members[p.name]
	if m == nil {
		return
	}
	for _, name := range m.Buckets {
		if e.holds(name) && p.digests[name] == nil {
			p.greetSoon(e)
			return
		}
	}
}

// partAgain tells a peer once more that a bucket was left: what it says shows that it
// does not know.
func (e *Engine) partAgain(p *peer, bucket string) {
	if e.left[bucket] && p.parted[bucket] {
		delete(p.parted, bucket)
		p.greetSoon(e)
	}
}

// about returns the bucket that an event concerns which is held, empty for any other
// event.
func about(ev Event) string {
	switch ev := ev.(type) {
	case Synced:
		return ev.Bucket
	case LiveApplied:
		return ev.Bucket
	case PageApplied:
		return ev.Bucket
	case PullEnded:
		return ev.Bucket
	case Wiped:
		return ev.Bucket
	case Scrubbed:
		return ev.Bucket
	case Suspect:
		return ev.Bucket
	case ScrubNow:
		return ev.Bucket
	case RepairNow:
		return ev.Bucket
	case AcceptDoubt:
		return ev.Bucket
	}
	return ""
}
