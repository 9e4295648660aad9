package syncer

import (
	"time"

	"replicator/oplog"
)

// A beat is when and of what the next heartbeat tells.
type beat struct {
	next  time.Time
	pause time.Duration
	fresh map[string]int // buckets that changed lately: how often still to tell
	turn  int            // where the round over the other buckets stands
	size  int            // bytes of the last heartbeat, about
	fleet time.Time      // when one told of the fleet's own bucket

	budget time.Duration // what the fleet's budget asked of the last pause
}

const (
	tellTimes  = 3   // how often a change is told before the round robin has it
	beatBytes  = 900 // what a heartbeat may take; the protocol's limit is 1 KiB
	idleBytes  = 450 // what one takes that has no news: a megabyte a day has to do
	fixedBytes = 190 // a heartbeat without digests
	digestSize = 56  // a digest without its name
	fleetTurns = 4   // of so many idle heartbeats one tells of the fleet's own bucket, which hardly ever changes
)

// tell puts the bucket in front of the next heartbeats.
func (e *Engine) tell(bucket string) {
	if e.beat.fresh == nil {
		e.beat.fresh = map[string]int{}
	}
	e.beat.fresh[bucket] = tellTimes
}

// touch tells of a change soon.
func (e *Engine) touch(bucket string) {
	e.tell(bucket)
	e.beatWithin(e.opt.HeartbeatMin)
	e.beat.pause = e.opt.HeartbeatMin
}

func (e *Engine) beatWithin(d time.Duration) {
	soon := e.now.Add(max(d, e.budgetPause()))
	if e.beat.next.IsZero() || e.beat.next.After(soon) {
		e.beat.next = soon
	}
	e.at(e.beat.next)
}

// budgetPause is the shortest pause that keeps the heartbeats of the whole
// fleet within its budget (the rule of RTCP, RFC 3550 section 6.2). The few
// nodes of a small fleet may answer a change at once.
func (e *Engine) budgetPause() time.Duration {
	bytes := float64(e.speakers()) * float64(max(e.beat.size, fixedBytes))
	pause := time.Duration(bytes / float64(e.opt.FleetBudget) * float64(time.Second))
	if pause < e.opt.HeartbeatMin/2 {
		return 0
	}
	return pause
}

// longestPause is the longest between two heartbeats of an idle node, a quarter
// aside: as long as the budget asks for in a large fleet.
func (e *Engine) longestPause() time.Duration { return max(e.opt.HeartbeatMax, e.beat.budget) }

// speakers counts the nodes that share the budget: this one and those that were
// heard of late. A fleet has many past members.
func (e *Engine) speakers() int {
	n := 1
	for _, p := range e.peers {
		if !p.gone && e.now.Sub(p.heard) < overdueFor {
			n++
		}
	}
	return n
}

func (e *Engine) sendBeat() {
	m := &oplog.Heartbeat{
		From: e.self, Wall: e.now.UnixMilli(), Stopping: e.stopping, Digests: e.beatDigests(),
	}
	e.reviewMembers()
	e.do(Beat{m})
	e.beat.pause = min(max(e.beat.pause*2, e.opt.HeartbeatMin), e.opt.HeartbeatMax)
	if e.uneasy() {
		e.beat.pause = min(e.beat.pause, e.opt.HeartbeatUneasy)
	}
	e.beat.budget = e.budgetPause()
	pause := max(e.beat.pause, e.beat.budget)
	// A quarter either way keeps the beats of a fleet from falling together.
	e.beat.next = e.now.Add(pause*3/4 + e.jitter(pause/2))
	e.at(e.beat.next)
}

// beatDigests picks the buckets that changed lately, then others in turn, as
// many as fit.
func (e *Engine) beatDigests() []oplog.Digest {
	var list []oplog.Digest
	size, limit := fixedBytes, beatBytes
	if len(e.beat.fresh) == 0 && e.beat.pause >= e.opt.HeartbeatMax {
		limit = idleBytes
	}
	spare := limit == idleBytes && e.now.Sub(e.beat.fleet) < (fleetTurns-1)*e.opt.HeartbeatMax
	add := func(name string) bool {
		cost := digestSize + len(name)
		if len(list) == oplog.MaxDigests || size+cost > limit {
			return false
		}
		size += cost
		list = append(list, e.store.Durable(name))
		if name == Fleet {
			e.beat.fleet = e.now
		}
		return true
	}
	told := map[string]bool{}
	for _, name := range sorted(e.beat.fresh) {
		if !add(name) {
			break
		}
		told[name] = true
		if e.beat.fresh[name]--; e.beat.fresh[name] == 0 {
			delete(e.beat.fresh, name)
		}
	}
	names := sorted(e.buckets)
	for range names {
		name := names[e.beat.turn%len(names)]
		passed := told[name] || spare && name == Fleet
		if !passed && !add(name) {
			break
		}
		e.beat.turn++
	}
	e.beat.size = size
	return list
}

// uneasy reports whether a peer is overdue or its last digest differs.
func (e *Engine) uneasy() bool {
	for _, p := range e.peers {
		if p.gone || p.inst.Nonce.IsZero() {
			continue
		}
		if silent := e.now.Sub(p.heard); silent > overdueFor {
			continue
		}
		if e.overdue(p) && !e.closed(p.name) || e.differs(p) {
			return true
		}
	}
	return false
}

func (e *Engine) differs(p *peer) bool {
	for name, pd := range p.digests {
		if e.holds(name) && !pd.last.Same(e.store.Durable(name)) {
			return true
		}
	}
	return false
}

// hearBeat takes a peer's heartbeat, or finds a double of ourselves.
func (e *Engine) hearBeat(m *oplog.Heartbeat) {
	if m.From.Node == e.self.Node {
		if !m.Stopping { // one that stops leaves the name to us
			e.hearOwnName(m.From.Nonce, m)
		}
		return
	}
	p := e.peer(m.From.Node)
	back := e.overdue(p) || p.gone || !p.greeted
	e.meetInstance(p, m.From)
	e.noteMember(p.name, m.Digests...)
	if m.Stopping {
		e.leave(p)
		return
	}
	if !p.heard.IsZero() {
		p.gap = e.now.Sub(p.heard)
	}
	p.heard, p.gone = e.now, false
	e.welcome(p.name)
	p.offset = time.Duration(m.Wall-e.now.UnixMilli()) * time.Millisecond
	if back && p.hello == nil {
		p.greetSoon(e)
		e.beatWithin(e.jitter(e.opt.HeartbeatMin))
	}
	for _, d := range m.Digests {
		e.meet(d.Bucket)
		e.noteDigest(p, d)
	}
}

// prevHeard is how long after the start our previous instance may still be
// heard: messages on their way when it died are no double.
const prevHeard = 10 * time.Second

// maxDoubles bounds how many instances with our name are told apart.
const maxDoubles = 64

// hearOwnName takes a message that bears our name. beat is nil if it was no
// heartbeat. Writes end at the second heartbeat of an older instance: a single
// one may be what is left on the way of a process that died.
func (e *Engine) hearOwnName(n oplog.Nonce, beat *oplog.Heartbeat) {
	late := n == e.self.Prev && e.now.Sub(e.started) < prevHeard
	if n == e.self.Nonce || late {
		return
	}
	e.doubled = e.now
	first, known := e.doubles[n]
	if !known {
		if len(e.doubles) == maxDoubles {
			return
		}
		e.doubles[n] = 0
		e.do(NewEpoch{})
		e.do(Raise{
			Kind: EventDuplicate, Peer: e.self.Node,
			Text: "another running instance is named " + e.self.Node + "; the younger one must be renamed",
		})
	}
	if beat == nil || e.fenced {
		return
	}
	e.beatWithin(0) // so that the other one hears us soon
	if first == 0 {
		e.doubles[n] = beat.Wall
		return
	}
	if beat.Wall > first && e.self.Younger(&beat.From) {
		e.fenced = true
		e.do(Fence{Reason: "an older instance named " + e.self.Node + " is running: rename this node, or stop the other and start this one again"})
	}
}
