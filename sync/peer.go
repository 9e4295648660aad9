package syncer

import (
	"slices"
	"time"

	"replicator/oplog"
)

// A peer is what is known of another node.
type peer struct {
	name    string
	inst    oplog.Instance // zero until a heartbeat or hello was heard
	heard   time.Time      // the last heartbeat
	spoke   time.Time      // the last live message
	gap     time.Duration  // between the last two
	offset  time.Duration  // of its wall clock against ours
	gone    bool           // it said that it stops
	greeted bool           // this instance answered a hello
	digests map[string]*peerDigest
	line    lineage
	greetAt time.Time // zero: no hello is due
	hello   *hello    // the one under way

	parted map[string]bool // buckets of which it knows that we left them
	heir   map[string]bool // buckets of which it said, since we began to part, that it keeps them
}

// A peerDigest is how a peer's bucket stood when it was last heard of, and what
// we make of that.
type peerDigest struct {
	last        oplog.Digest
	current     bool         // last is of this instance
	own         oplog.Digest // ours at that time
	same        int          // beats in which the same two digests differed
	unequal     int          // beats in which the digests differed
	uncovered   time.Time    // since when a durable write of the peer is missing here
	pause       time.Duration
	report      *report   // the last one of this instance
	reported    time.Time // when ours was sent last
	unlikeSince time.Time // since when the digests have had other clocks than ours
	notBefore   time.Time // pulls that brought nothing wait longer and longer
}

const (
	sameBeats    = 3  // the same inequality in so many beats is lasting
	unequalBeats = 12 // and any in so many, as under constant writes
	overdueFor   = time.Hour
	pauseMin     = 5 * time.Second
)

func (e *Engine) peer(name string) *peer {
	p := e.peers[name]
	if p == nil {
		p = &peer{name: name, spoke: e.now, digests: map[string]*peerDigest{}, parted: map[string]bool{}, heir: map[string]bool{}}
		e.peers[name] = p
	}
	return p
}

// meetInstance notes which process speaks for the peer now. A new one has
// forgotten every session with the old.
func (e *Engine) meetInstance(p *peer, inst oplog.Instance) {
	e.followLineage(p, &inst)
	same := p.inst.Nonce == inst.Nonce
	p.inst = inst
	if same {
		return
	}
	p.greeted = false
	clear(p.parted) // it may have lost that, too
	clear(p.heir)
	for _, pd := range p.digests {
		pd.forgetOwn() // it may have lost what it had written
		pd.report, pd.current = nil, false
	}
	e.endSessionsWith(p)
}

// forgetOwn forgets how far the peer's own writes go.
func (pd *peerDigest) forgetOwn() {
	pd.last.Epoch, pd.last.Own, pd.uncovered = 0, 0, time.Time{}
}

func (e *Engine) endSessionsWith(p *peer) {
	p.endHello(e)
	for _, name := range sorted(e.buckets) {
		if b := e.buckets[name]; b.pull != nil && b.pull.donor == p.name {
			e.dropPull(b)
			e.want(b, "", e.jitter(e.opt.GreetJitter))
		}
	}
	for _, s := range e.sortedServes() {
		if s.puller == p.name {
			e.closeServe(s)
		}
	}
}

// leave takes the last heartbeat of a peer that stops.
func (e *Engine) leave(p *peer) {
	p.gone = true
	p.greetAt = time.Time{}
	e.endSessionsWith(p)
}

// overdue reports whether the peer has been silent for longer than its beats
// were apart. They may double from one to the next, a quarter either way.
func (e *Engine) overdue(p *peer) bool {
	if p.heard.IsZero() {
		return false
	}
	patience := max(p.gap, 4*time.Second)*7/2 + e.opt.HeartbeatUneasy
	return e.now.Sub(p.heard) > min(patience, e.overdueAfter())
}

// reachable reports whether it makes sense to ask the peer for something.
func (e *Engine) reachable(p *peer) bool {
	return !p.gone && !p.inst.Nonce.IsZero() && e.now.Sub(p.lastHeard()) < 3*e.longestPause()
}

// lastHeard returns when the peer gave its last sign of life.
func (p *peer) lastHeard() time.Time {
	if p.spoke.After(p.heard) {
		return p.spoke
	}
	return p.heard
}

// noteDigest compares a peer's digest with our own and wants a pull where the
// difference lasts: H2 of the protocol.
func (e *Engine) noteDigest(p *peer, d oplog.Digest) {
	if !e.holds(d.Bucket) {
		return // once it is joined, a hello tells
	}
	pd := p.digests[d.Bucket]
	if pd == nil {
		pd = &peerDigest{}
		p.digests[d.Bucket] = pd
	}
	own := e.store.Durable(d.Bucket)
	repeated := pd.last.Same(d) && pd.own.Same(own)
	if !repeated {
		pd.pause, pd.notBefore = 0, time.Time{}
	}
	pd.last, pd.own, pd.current = d, own, true
	e.noteUncovered(p, pd)
	e.noteReport(pd, d)
	if d.Same(own) {
		pd.same, pd.unequal = 0, 0
		return
	}
	pd.unequal++
	if pd.same++; !repeated {
		pd.same = 1
	}
	if pd.same >= sameBeats || pd.unequal >= unequalBeats {
		pd.same, pd.unequal = 0, 0
		e.wantQuietly(e.bucket(d.Bucket), p, pd)
	}
}

// noteUncovered starts or ends the wait for a durable write of the peer that
// live should bring.
func (e *Engine) noteUncovered(p *peer, pd *peerDigest) {
	origin := originOf(p, pd)
	if pd.last.Epoch == 0 || e.store.Covered(pd.last.Bucket, origin) >= pd.last.Own {
		pd.uncovered = time.Time{}
		return
	}
	if pd.uncovered.IsZero() {
		pd.uncovered = e.now
	}
	e.at(pd.uncovered.Add(e.opt.UncoveredAfter))
}

// wantQuietly wants a pull that a digest called for, no sooner than earlier
// ones that brought nothing allow.
func (e *Engine) wantQuietly(b *bucket, p *peer, pd *peerDigest) {
	delay := max(pd.notBefore.Sub(e.now), 0)
	e.want(b, p.name, delay+e.jitter(e.opt.GreetJitter))
}

// forgetAfter is when a silent peer is forgotten: a fleet whose nodes have new
// names with each start would fill the memory.
const forgetAfter = 7 * 24 * time.Hour

// tickPeer does what is due for one peer.
func (e *Engine) tickPeer(p *peer) {
	e.tickHello(p)
	if p.hello == nil && e.now.Sub(p.lastHeard()) > forgetAfter {
		delete(e.peers, p.name)
		return
	}
	if !e.reachable(p) {
		return
	}
	for _, name := range sorted(p.digests) {
		pd := p.digests[name]
		if pd.uncovered.IsZero() || !e.passed(pd.uncovered.Add(e.opt.UncoveredAfter)) {
			continue
		}
		pd.uncovered = time.Time{}
		e.noteUncovered(p, pd)
		if !pd.uncovered.IsZero() {
			e.wantQuietly(e.bucket(name), p, pd)
		}
	}
}

// pickDonor returns the wanted donor if it can be asked, else any peer that
// holds the bucket, or nil. A doubted one is not asked.
func (e *Engine) pickDonor(bucket, wanted string) *peer {
	b := e.bucket(bucket)
	if p := e.peers[wanted]; p != nil && e.reachable(p) && e.undoubted(b, p) {
		return p
	}
	var able []*peer
	for _, name := range sorted(e.peers) {
		p := e.peers[name]
		if p.digests[bucket] != nil && e.reachable(p) && !e.overdue(p) && e.undoubted(b, p) {
			able = append(able, p)
		}
	}
	if len(able) == 0 {
		return nil
	}
	return able[e.rnd.IntN(len(able))]
}

func (e *Engine) greetAll() {
	for _, name := range sorted(e.peers) {
		if p := e.peers[name]; !p.gone && !p.inst.Nonce.IsZero() {
			p.greetSoon(e)
		}
	}
}

func (e *Engine) syncNow() {
	for _, name := range sorted(e.peers) {
		if p := e.peers[name]; e.reachable(p) {
			p.greetIn(e, 0)
		}
	}
}

// unequalBuckets lists our buckets in order, those first whose digest at the
// peer is unknown or differs: they are what a hello is about.
func (e *Engine) unequalBuckets(p *peer) []string {
	names := sorted(e.buckets)
	rank := func(name string) int {
		pd := p.digests[name]
		switch {
		case e.parting[name]:
			return -1
		case pd == nil:
			return 1
		case !pd.last.Same(e.store.Durable(name)):
			return 0
		}
		return 2
	}
	slices.SortStableFunc(names, func(a, b string) int { return rank(a) - rank(b) })
	return names
}

// originOf returns the origin that the peer was writing when it was last heard.
func originOf(p *peer, pd *peerDigest) oplog.Origin {
	return oplog.Origin{Node: p.name, Epoch: pd.last.Epoch}
}
