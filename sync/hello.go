package syncer

import (
	"time"

	"replicator/oplog"
)

// A hello is a handshake under way: hashes of our buckets, sent to a peer that
// answers with those of its own that differ.
type hello struct {
	session  uint64
	deadline time.Time
	tries    int
	asked    []oplog.Digest
	rest     []string // buckets that did not fit this message
	parted   []string // buckets that it says we left
}

const helloTries = 3

func (p *peer) greetIn(e *Engine, d time.Duration) {
	at := e.now.Add(d)
	if p.greetAt.IsZero() || p.greetAt.After(at) {
		p.greetAt = at
	}
	e.at(p.greetAt)
}

// greetSoon greets after some jitter. One hello serves both sides, so of two
// nodes that find each other the one with the lesser name goes first, and the
// other greets only if that does not reach it.
func (p *peer) greetSoon(e *Engine) {
	d := e.jitter(e.opt.GreetJitter)
	if p.name < e.self.Node {
		d += 2 * e.opt.GreetJitter
	}
	p.greetIn(e, d)
}

func (p *peer) endHello(e *Engine) {
	if p.hello != nil {
		delete(e.hellos, p.hello.session)
		p.hello = nil
	}
}

func (e *Engine) tickHello(p *peer) {
	if e.passed(p.greetAt) {
		p.greetAt = time.Time{}
		p.endHello(e)
		e.sendHello(p, e.unequalBuckets(p), 1)
	}
	if p.hello == nil || !e.passed(p.hello.deadline) {
		return
	}
	old := p.hello
	p.endHello(e)
	if old.tries == helloTries {
		p.greeted = false // its next heartbeat starts over
		return
	}
	e.sendHello(p, e.unequalBuckets(p), old.tries+1)
}

func (e *Engine) sendHello(p *peer, names []string, try int) {
	n := min(len(names), oplog.MaxDigests)
	h := &hello{session: e.session(), tries: try, rest: names[n:]}
	for _, name := range names[:n] {
		h.asked = append(h.asked, e.store.Durable(name))
	}
	h.parted = e.untold(p)
	h.deadline = e.now.Add(e.opt.AnswerTimeout / 5)
	e.at(h.deadline)
	p.hello = h
	e.hellos[h.session] = p
	e.do(Send{To: p.name, Bucket: Fleet, Session: h.session, Message: &oplog.Hello{
		From: e.self, Session: h.session, Formats: formats(), MaxBody: oplog.MaxBody, Digests: h.asked, Unknown: h.parted,
	}})
}

// Fleet is the bucket in whose name nodes speak of all buckets at once. It holds
// what concerns all nodes.
const Fleet = "_fleet"

// formats lists the versions of byte 0 that this program reads.
func formats() []uint64 { return []uint64{1, '{'} }

// hearHello answers with what differs and, a handshake being mutual, pulls
// from the sender what is missing here.
func (e *Engine) hearHello(m *oplog.Hello, reply string) {
	p := e.peer(m.From.Node)
	e.meetInstance(p, m.From)
	p.gone = false
	e.hurry(p)
	e.noteMember(p.name, m.Digests...)
	if p.heard.IsZero() {
		p.heard = e.now
	}
	// A handshake is mutual: what the peer asks for, we learn. Our own hello
	// would tell neither side more.
	p.greeted = true
	if len(e.parting) == 0 { // else it is asked whether it keeps what we leave
		p.greetAt = time.Time{}
	}
	defer e.askOfTheUnsaid(p)
	e.noteParted(p, m.Unknown)
	answer := &oplog.HelloReply{From: e.self, Session: m.Session, Formats: formats(), MaxBody: oplog.MaxBody}
	for _, d := range m.Digests {
		if !e.holds(d.Bucket) || e.parting[d.Bucket] {
			answer.Unknown = append(answer.Unknown, d.Bucket)
			e.meet(d.Bucket)
			continue
		}
		e.noteDigest(p, d)
		if e.store.BadRows(d.Bucket) > 0 {
			answer.Unsure = append(answer.Unsure, d.Bucket)
		}
		if own := e.store.Durable(d.Bucket); !own.Same(d) {
			answer.Digests = append(answer.Digests, own)
			e.wantQuietly(e.bucket(d.Bucket), p, p.digests[d.Bucket])
		}
	}
	e.do(Answer{Reply: reply, Message: answer})
}

func (e *Engine) hearHelloReply(m *oplog.HelloReply) {
	p := e.hellos[m.Session]
	if p == nil || p.hello == nil || m.From.Node != p.name {
		return
	}
	h := p.hello
	p.endHello(e)
	e.meetInstance(p, m.From)
	p.greeted = true
	if p.heard.IsZero() {
		p.heard = e.now
	}
	e.noteMember(p.name, m.Digests...)
	for _, name := range h.parted {
		p.parted[name] = true
	}
	e.noteEqual(p, h, m)
	for _, d := range m.Digests {
		if !e.holds(d.Bucket) {
			continue
		}
		e.noteDigest(p, d)
		if pd := p.digests[d.Bucket]; pd != nil && !pd.last.Same(e.store.Durable(d.Bucket)) {
			e.wantQuietly(e.bucket(d.Bucket), p, pd)
		}
	}
	if len(h.rest) > 0 || len(e.untold(p)) > 0 {
		e.sendHello(p, h.rest, 1)
	}
}

// noteEqual takes what the answer does not mention: those buckets are as ours
// were when we asked.
func (e *Engine) noteEqual(p *peer, h *hello, m *oplog.HelloReply) {
	named := map[string]bool{}
	for _, d := range m.Digests {
		named[d.Bucket] = true
	}
	for _, name := range m.Unknown {
		named[name] = true
	}
	e.noteParted(p, m.Unknown)
	e.noteHeir(p, h, m)
	for _, d := range h.asked {
		if named[d.Bucket] {
			continue
		}
		pd := p.digests[d.Bucket]
		if pd == nil {
			pd = &peerDigest{}
			p.digests[d.Bucket] = pd
		}
		// Epoch and Own of the digest are ours, not the peer's: it has written
		// nothing that we lack.
		pd.forgetOwn()
		e.noteMember(p.name, d)
		pd.last.Bucket, pd.last.Clock, pd.last.Ahead, pd.last.Sum = d.Bucket, d.Clock, d.Ahead, d.Sum
		pd.same, pd.unequal = 0, 0
	}
}
