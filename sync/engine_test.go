package syncer_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"replicator/oplog"
	syncer "replicator/sync"
)

// memory is a store of nothing but clocks and tokens.
type memory struct {
	clock oplog.Clock
	token *syncer.Token

	collectable bool

	sum uint64 // of the digest
	bad int    // rows
}

func (m *memory) Durable(bucket string) oplog.Digest {
	return oplog.Digest{Bucket: bucket, Clock: oplog.HashClock(m.clock).Sum, Sum: m.sum}
}
func (m *memory) Covered(_ string, o oplog.Origin) oplog.Seq { return m.clock[o] }
func (m *memory) Clock(string) oplog.Clock                   { return m.clock.Clone() }
func (m *memory) Ahead(string) oplog.Clock                   { return oplog.Clock{} }
func (m *memory) ClockHash(string) oplog.ClockHash           { return oplog.HashClock(m.clock) }
func (m *memory) Token(string) (syncer.Token, bool) {
	if m.token == nil {
		return syncer.Token{}, false
	}
	return *m.token, true
}

func (m *memory) DurableState(bucket string) (oplog.Digest, oplog.Clock) {
	return m.Durable(bucket), m.clock.Clone()
}
func (m *memory) Collectable(string) bool { return m.collectable }
func (m *memory) BadRows(string) int      { return m.bad }
func (m *memory) Sums(string) syncer.Sums {
	s := syncer.Sums{Clock: m.clock.Clone(), Gated: 5}
	s.Parts[3] = m.sum
	if m.bad > 0 {
		s.Bad = []uint64{9}
	}
	return s
}

// bench is an engine named a that holds the bucket orders, with time in hand.
type bench struct {
	t      *testing.T
	engine *syncer.Engine
	store  *memory
	now    time.Time
	rnd    *rand.Rand
	wake   time.Time
	last   oplog.Session // of a reconcile that has begun
}

var (
	origin = oplog.Origin{Node: "b", Epoch: 7}
	nonceA = oplog.Nonce{1}
	nonceB = oplog.Nonce{2}
)

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchWith(t, syncer.Options{})
}

func newBenchWith(t *testing.T, opt syncer.Options) *bench {
	t.Helper()
	b := &bench{
		t: t, store: &memory{clock: oplog.Clock{}}, rnd: rand.New(rand.NewPCG(1, 2)),
		now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	self := oplog.Instance{Node: "a", Nonce: nonceA, Prev: oplog.Nonce{9}, Started: b.now.UnixMilli()}
	b.engine = syncer.New(self, b.store, opt)
	b.step(syncer.Connected{MaxPayload: 1 << 20})
	b.step(syncer.Joined{Bucket: "orders"})
	return b
}

func (b *bench) step(ev syncer.Event) []syncer.Action {
	out := b.engine.Step(b.now, b.rnd, ev)
	for _, a := range out {
		if w, ok := a.(syncer.WakeAt); ok {
			b.wake = w.Time
		}
	}
	return out
}

func (b *bench) hear(from string, m oplog.Message) []syncer.Action {
	h := syncer.Heard{From: from, Bucket: "orders", Message: m, Size: 100}
	if from != "" {
		h.Reply = from + ".1"
	}
	return b.step(h)
}

// until ticks as asked for until an action of type T comes.
func until[T syncer.Action](b *bench) T {
	b.t.Helper()
	for end := b.now.Add(time.Minute); b.now.Before(end); {
		if b.wake.After(b.now) {
			b.now = b.wake
		}
		if a, ok := find[T](b.step(syncer.Tick{})); ok {
			return a
		}
	}
	var none T
	b.t.Fatalf("no %T within a minute", none)
	return none
}

func find[T syncer.Action](list []syncer.Action) (T, bool) {
	for _, a := range list {
		if a, ok := a.(T); ok {
			return a, true
		}
	}
	var none T
	return none, false
}

func instance(node string, nonce oplog.Nonce) oplog.Instance {
	return oplog.Instance{Node: node, Nonce: nonce, Started: 1}
}

// pulls makes the engine pull from b and returns the session.
func (b *bench) pulls() oplog.Session {
	b.t.Helper()
	b.hear("b", &oplog.Hello{From: instance("b", nonceB), Session: 5, Digests: []oplog.Digest{{Bucket: "orders", Clock: 99}}})
	for {
		if m, ok := until[syncer.Send](b).Message.(*oplog.Pull); ok {
			return m.Session
		}
	}
}

func entry(seq uint64) oplog.Entry {
	return oplog.Entry{
		Key: []byte{'k', byte(seq)}, Value: []byte("v"),
		Stamp: oplog.Stamp{HLC: oplog.HLC(seq), Origin: origin, Seq: seq},
	}
}

// TestRefusedPageStopsThoseBehindIt: the token of the second page would promise
// the rows of the first.
func TestRefusedPageStopsThoseBehindIt(t *testing.T) {
	b := newBench(t)
	s := b.pulls()
	b.hear("", &oplog.Begin{Session: s, KeyOrder: true, Clock: oplog.Clock{origin: 2}})
	first, ok := find[syncer.ApplyPage](b.hear("", &oplog.Page{Session: s, Number: 1, Entries: []oplog.Entry{entry(1)}}))
	if !ok || first.Token == nil {
		t.Fatal("the first page does not reach the store with a token")
	}
	out := b.hear("", &oplog.Page{Session: s, Number: 2, Entries: []oplog.Entry{entry(2)}})
	if _, ok := find[syncer.ApplyPage](out); ok {
		t.Fatal("the second page does not wait for the first")
	}
	out = b.step(syncer.PageApplied{Bucket: "orders", Session: s.ID, Number: 1, Err: errors.New("disk full")})
	if _, ok := find[syncer.ApplyPage](out); ok {
		t.Error("the page behind a refused one reaches the store")
	}
	if b.engine.Bucket("orders").Pull != nil {
		t.Error("the pull goes on")
	}
}

// TestSessionsAreBoundToNonces: rule S7.
func TestSessionsAreBoundToNonces(t *testing.T) {
	b := newBench(t)
	s := b.pulls()
	for _, other := range []oplog.Session{
		{ID: s.ID, Puller: s.Puller, Donor: oplog.Nonce{8}},
		{ID: s.ID, Puller: oplog.Nonce{8}, Donor: s.Donor},
		{ID: s.ID + 1, Puller: s.Puller, Donor: s.Donor},
	} {
		b.hear("", &oplog.Begin{Session: other, Clock: oplog.Clock{origin: 1}})
		b.hear("", &oplog.Page{Session: other, Number: 1, Entries: []oplog.Entry{entry(1)}})
		out := b.hear("", &oplog.End{Session: other, Pages: 1, Entries: 1})
		out = append(out, b.hear("", &oplog.Abort{Session: other, Reason: oplog.ReasonFailed})...)
		out = append(out, b.hear("", &oplog.Busy{Session: other})...)
		if len(out) > 0 {
			t.Errorf("session %v of %v is taken: %#v", other, s, out)
		}
	}
	if p := b.engine.Bucket("orders").Pull; p == nil || p.Entries > 0 {
		t.Errorf("the pull is %+v", p)
	}

	ask := oplog.Session{ID: 3, Puller: nonceB, Donor: oplog.Nonce{8}}
	a, ok := find[syncer.Answer](b.hear("b", &oplog.Pull{Session: ask, Bucket: "orders"}))
	if m, isAbort := a.Message.(*oplog.Abort); !ok || !isAbort || m.Reason != oplog.ReasonStale {
		t.Errorf("a pull from an earlier instance of ours is answered with %#v", a.Message)
	}
}

// TestStrangeAnswersEndThePull: what no donor sends ends a session, once.
func TestStrangeAnswersEndThePull(t *testing.T) {
	const huge = 1<<64 - 1
	begin := func(s oplog.Session) oplog.Message { return &oplog.Begin{Session: s, Clock: oplog.Clock{origin: huge}} }
	page := func(s oplog.Session, n uint64) oplog.Message {
		return &oplog.Page{Session: s, Number: n, Entries: []oplog.Entry{entry(1)}}
	}
	for name, list := range map[string]func(oplog.Session) []oplog.Message{
		"begin twice":   func(s oplog.Session) []oplog.Message { return []oplog.Message{begin(s), begin(s)} },
		"page first":    func(s oplog.Session) []oplog.Message { return []oplog.Message{page(s, 1)} },
		"page again":    func(s oplog.Session) []oplog.Message { return []oplog.Message{begin(s), page(s, 1), page(s, 1)} },
		"page left out": func(s oplog.Session) []oplog.Message { return []oplog.Message{begin(s), page(s, 2)} },
		"last page":     func(s oplog.Session) []oplog.Message { return []oplog.Message{begin(s), page(s, huge)} },
		"end first":     func(s oplog.Session) []oplog.Message { return []oplog.Message{&oplog.End{Session: s}} },
		"end of no pages": func(s oplog.Session) []oplog.Message {
			return []oplog.Message{begin(s), page(s, 1), &oplog.End{Session: s}}
		},
		"end of too many": func(s oplog.Session) []oplog.Message {
			return []oplog.Message{begin(s), &oplog.End{Session: s, Pages: huge, Entries: huge}}
		},
		"log order cut": func(s oplog.Session) []oplog.Message {
			return []oplog.Message{begin(s), &oplog.End{Session: s, Cut: true}}
		},
		"cut where it began": func(s oplog.Session) []oplog.Message {
			return []oplog.Message{&oplog.Begin{Session: s, KeyOrder: true, Clock: oplog.Clock{origin: huge}}, &oplog.End{Session: s, Cut: true}}
		},
		"two ends": func(s oplog.Session) []oplog.Message {
			return []oplog.Message{begin(s), page(s, 1), &oplog.End{Session: s, Pages: 1, Entries: 1}, &oplog.End{Session: s, Pages: 1, Entries: 2}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			s := b.pulls()
			var out []syncer.Action
			for _, m := range list(s) {
				out = append(out, b.hear("", m)...)
			}
			if _, ended := find[syncer.EndPull](out); ended || b.engine.Bucket("orders").Pull != nil {
				t.Errorf("the pull lives, clock moved %v", ended)
			}
			if out := b.hear("", page(s, 1)); len(out) > 0 {
				t.Errorf("a page after the end leads to %#v", out)
			}
		})
	}
}

// TestRequestForAnotherBucketThanItsSubject is not served: the broker may let its
// sender ask for the one on the subject alone.
func TestRequestForAnotherBucketThanItsSubject(t *testing.T) {
	b := newBench(t)
	b.step(syncer.Joined{Bucket: "secret"})
	s := oplog.Session{ID: 3, Puller: nonceB, Donor: nonceA}
	for _, m := range []oplog.Message{
		&oplog.Compare{Session: s, Bucket: "secret", Parts: make([]uint64, oplog.ClockParts)},
		&oplog.Pull{Session: s, Bucket: "secret"},
	} {
		if out := b.hear("b", m); len(out) > 0 { // on the subject of orders
			t.Errorf("%T is answered with %#v", m, out)
		}
	}
}

// TestPagesBeyondTheWindowEndThePull: memory is bounded whatever a donor sends.
func TestPagesBeyondTheWindowEndThePull(t *testing.T) {
	b := newBench(t)
	s := b.pulls()
	b.hear("", &oplog.Begin{Session: s, KeyOrder: true, Clock: oplog.Clock{origin: 1 << 20}})
	large := entry(1)
	large.Value = make([]byte, 4<<20)
	for n := uint64(1); n <= 32; n++ {
		b.hear("", &oplog.Page{Session: s, Number: n, Entries: []oplog.Entry{large}})
	}
	if b.engine.Bucket("orders").Pull != nil {
		t.Error("128 MiB wait for the store")
	}
}

// TestStoreThatNeverAnswers ends a pull at last: something else may help.
func TestStoreThatNeverAnswers(t *testing.T) {
	b := newBench(t)
	s := b.pulls()
	b.hear("", &oplog.Begin{Session: s, Clock: oplog.Clock{origin: 1}})
	b.hear("", &oplog.Page{Session: s, Number: 1, Entries: []oplog.Entry{entry(1)}})
	for end := b.now.Add(5 * time.Minute); b.now.Before(end); {
		b.now = b.now.Add(time.Second)
		b.step(syncer.Tick{})
	}
	if p := b.engine.Bucket("orders").Pull; p != nil {
		t.Errorf("the pull still waits: %+v", p)
	}
}

// TestWantOutlivesAPull: a pull that became due while another ran begins when
// that one ends, without waiting for some other timer.
func TestWantOutlivesAPull(t *testing.T) {
	b := newBench(t)
	s := b.pulls()
	b.hear("b", &oplog.Live{Bucket: "orders", Origin: origin, First: 5, Last: 5, Nonce: nonceB, Entries: []oplog.Entry{entry(5)}})
	b.now = b.now.Add(time.Second)
	b.step(syncer.Tick{}) // the gap calls for a pull, but one is under way
	b.hear("", &oplog.Begin{Session: s, Clock: oplog.Clock{origin: 5}})
	b.hear("", &oplog.End{Session: s})
	b.store.clock[origin] = 5
	out := b.step(syncer.PullEnded{Bucket: "orders", Session: s.ID})
	m, ok := find[syncer.Send](out)
	if _, isPull := m.Message.(*oplog.Pull); !ok || !isPull {
		t.Errorf("the wanted pull does not begin: %#v", out)
	}
}

// TestEarlyTickIsAskedForAgain: a timer that rings early must not be the last.
func TestEarlyTickIsAskedForAgain(t *testing.T) {
	b := newBench(t)
	due := b.wake
	if w, ok := find[syncer.WakeAt](b.step(syncer.Tick{})); !due.After(b.now) || !ok || !w.Time.Equal(due) {
		t.Errorf("asked for %v, after an early tick for %v", due, w.Time)
	}
}

// TestOneBeatOfOurNameDoesNotFence: what a process that died left on its way is
// no duplicate, and one that stops is none for long.
func TestOneBeatOfOurNameDoesNotFence(t *testing.T) {
	b := newBench(t)
	b.now = b.now.Add(time.Minute)
	beat := func(wall int64, stopping bool) bool {
		_, fenced := find[syncer.Fence](b.hear("a", &oplog.Heartbeat{From: instance("a", oplog.Nonce{4}), Wall: wall, Stopping: stopping}))
		return fenced
	}
	if beat(5, true) || beat(10, false) || beat(10, false) {
		t.Error("fenced by one heartbeat")
	}
	if !beat(11, false) {
		t.Error("not fenced by the second heartbeat of an older instance")
	}
}

func live(seq uint64) *oplog.Live {
	return &oplog.Live{Bucket: "orders", Origin: origin, First: seq, Last: seq, Nonce: nonceB, Entries: []oplog.Entry{entry(seq)}}
}

// asksAgain waits for another pull than s.
func (b *bench) asksAgain(s oplog.Session) {
	b.t.Helper()
	for {
		if m, ok := until[syncer.Send](b).Message.(*oplog.Pull); ok && m.Session != s {
			return
		}
	}
}

// TestOverflowLeadsToAPull: what is not held any more has to be fetched, also
// when no gap has called for a pull before.
func TestOverflowLeadsToAPull(t *testing.T) {
	b := newBenchWith(t, syncer.Options{ApplyBuffer: 100, GapBuffer: 150})
	s := b.pulls()
	b.hear("", &oplog.Begin{Session: s, Clock: oplog.Clock{}})
	b.hear("", &oplog.End{Session: s})
	b.step(syncer.PullEnded{Bucket: "orders", Session: s.ID})
	for seq := uint64(1); seq <= 3; seq++ {
		out := b.hear("b", live(seq))
		if _, applied := find[syncer.ApplyLive](out); applied != (seq == 1) {
			t.Errorf("live write %d reaches the store: %v", seq, applied)
		}
	}
	b.asksAgain(s)
}

// TestFailedPullIsTriedAgain without a heartbeat that calls for it.
func TestFailedPullIsTriedAgain(t *testing.T) {
	b := newBench(t)
	s := b.pulls()
	b.hear("", &oplog.Abort{Session: s, Bucket: "orders", Reason: oplog.ReasonFailed})
	b.asksAgain(s)
}

// TestNobodyListensForAPull: another donor is asked long before an answer would
// be overdue.
func TestNobodyListensForAPull(t *testing.T) {
	b := newBench(t)
	s := b.pulls()
	asked := b.now
	b.step(syncer.NoResponders{Session: s.ID + 1}) // none of ours
	b.step(syncer.NoResponders{Session: s.ID})
	b.asksAgain(s)
	if d := b.now.Sub(asked); d > 2*time.Second {
		t.Errorf("asked again after %v", d)
	}
	b.step(syncer.NoResponders{Session: s.ID}) // late
}

// TestPullThatIsCompleteNeedsNoDonor: its end is up to the store alone.
func TestPullThatIsCompleteNeedsNoDonor(t *testing.T) {
	b := newBench(t)
	s := b.pulls()
	b.hear("", &oplog.Begin{Session: s, Clock: oplog.Clock{origin: 1}, Rows: 1})
	b.hear("", &oplog.Page{Session: s, Number: 1, Entries: []oplog.Entry{entry(1)}})
	b.hear("", &oplog.End{Session: s, Pages: 1, Entries: 1})
	b.step(syncer.NoResponders{Session: s.ID})
	if _, ends := find[syncer.EndPull](b.step(syncer.PageApplied{Bucket: "orders", Session: s.ID, Number: 1})); !ends {
		t.Error("the pull was given up")
	}
}

// TestDonorThatWasAwayIsAskedAgain: it says hello when it is back, and does not
// know the session any more.
func TestDonorThatWasAwayIsAskedAgain(t *testing.T) {
	b := newBenchWith(t, syncer.Options{AnswerTimeout: 10 * time.Second})
	s := b.pulls()
	back := b.now
	b.hear("b", &oplog.Hello{From: instance("b", nonceB), Session: 6, Digests: []oplog.Digest{{Bucket: "orders", Clock: 99}}})
	b.asksAgain(s)
	if d := b.now.Sub(back); d > 4*time.Second {
		t.Errorf("asked again after %v", d)
	}
}

// TestStalePullIsTriedAgain for a write that was heard of behind a gap, though
// the handshake that follows finds no difference: its writer may be gone.
func TestStalePullIsTriedAgain(t *testing.T) {
	for name, end := range map[string]func(b *bench, s oplog.Session){
		"stale": func(b *bench, s oplog.Session) {
			b.hear("", &oplog.Abort{Session: s, Bucket: "orders", Reason: oplog.ReasonStale})
		},
		"disconnected": func(b *bench, _ oplog.Session) {
			b.step(syncer.Disconnected{})
			b.step(syncer.Connected{MaxPayload: 1 << 20})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			alike := &oplog.Hello{From: instance("b", nonceB), Session: 6, Digests: []oplog.Digest{b.store.Durable("orders")}}
			b.hear("b", alike)
			b.hear("b", live(5))
			m, ok := until[syncer.Send](b).Message.(*oplog.Pull)
			if !ok {
				t.Fatal("no pull")
			}
			end(b, m.Session)
			b.hear("b", alike)
			b.asksAgain(m.Session)
		})
	}
}

// TestResumedPullIsInKeyOrder: a cursor means nothing in log order, to either
// side.
func TestResumedPullIsInKeyOrder(t *testing.T) {
	b := newBench(t)
	b.hear("c", &oplog.Pull{
		Session: oplog.Session{ID: 1, Puller: oplog.Nonce{3}, Donor: nonceA},
		Bucket:  "orders", Clock: oplog.Clock{}, Resume: true, Cursor: []byte("k"),
	})
	out := b.step(syncer.SnapshotOpened{Session: 1, Clock: oplog.Clock{origin: 1}, Rows: 1})
	read, ok := find[syncer.ReadPage](out)
	if begin, isBegin := answer[*oplog.Begin](out); !ok || !read.KeyOrder || !isBegin || !begin.KeyOrder {
		t.Errorf("a pull that resumes is served by %#v", out)
	}

	b.store.token = &syncer.Token{Cursor: []byte("k"), Claim: oplog.Clock{origin: 1}}
	s := b.pulls()
	b.hear("", &oplog.Begin{Session: s, Clock: oplog.Clock{origin: 1}})
	if b.engine.Bucket("orders").Pull != nil {
		t.Error("log order is taken for the rest of a key-ordered pull")
	}
}

func answer[M oplog.Message](list []syncer.Action) (M, bool) {
	for _, a := range list {
		if a, ok := a.(syncer.Answer); ok {
			if m, ok := a.Message.(M); ok {
				return m, true
			}
		}
	}
	var none M
	return none, false
}

// TestRefusedLiveWriteLeavesAGap: what comes after a write that the store
// refused must wait for it, and the write itself is taken when it comes again.
func TestRefusedLiveWriteLeavesAGap(t *testing.T) {
	b := newBench(t)
	b.hear("b", live(1))
	b.step(syncer.LiveApplied{Bucket: "orders", Size: 100, Err: errors.New("disk full")})
	if _, ok := find[syncer.ApplyLive](b.hear("b", live(2))); ok {
		t.Error("the write behind a refused one reaches the store")
	}
	if _, ok := find[syncer.ApplyLive](b.hear("b", live(1))); !ok {
		t.Error("the refused write is not taken again")
	}
}

// TestPeerOfManyBucketsSaysHello: buckets that are not held here cost nothing,
// however many a peer names.
func TestPeerOfManyBucketsSaysHello(t *testing.T) {
	b := newBench(t)
	for i := 0; i < 2*oplog.MaxBucket; i += 16 {
		m := &oplog.Heartbeat{From: instance("b", nonceB), Wall: b.now.UnixMilli()}
		for j := range 16 {
			m.Digests = append(m.Digests, oplog.Digest{Bucket: fmt.Sprint("x", i+j), Clock: 1})
		}
		b.hear("b", m)
	}
	b.pulls()
}

// TestSilentPeersAreForgotten: names that come and go must not fill the memory.
func TestSilentPeersAreForgotten(t *testing.T) {
	b := newBench(t)
	for i := range 1000 {
		b.now = b.now.Add(time.Hour)
		name := fmt.Sprint("n", i)
		b.hear(name, &oplog.Heartbeat{From: instance(name, oplog.Nonce{3, byte(i), byte(i >> 8)}), Wall: b.now.UnixMilli(), Stopping: true})
		b.step(syncer.Tick{})
	}
	if n := len(b.engine.Peers()); n > 200 {
		t.Errorf("%d peers are remembered, the first one stopped %s ago", n, 1000*time.Hour)
	}
}

// TestEmptyPageEndsThePull: pages without entries count no bytes, so no window
// would hold them back.
// TestReconcileWithADonorThatLacksTheGate is C4: what two donors claim in common
// has to cover what either collected, else all is compared anew.
func TestReconcileWithADonorThatLacksTheGate(t *testing.T) {
	for clock, startsOver := range map[oplog.Seq]bool{4: true, 5: false} {
		b := newBench(t)
		b.store.token = &syncer.Token{Cursor: []byte("k"), Claim: oplog.Clock{origin: 9}, Gate: &syncer.Gate{GCV: oplog.Clock{origin: 5}, GCTS: 7}}
		s := b.pulls()
		out := b.hear("", &oplog.Begin{Session: s, Clock: oplog.Clock{origin: clock}, KeyOrder: true, GCV: oplog.Clock{origin: 1}})
		if !startsOver {
			a, taken := find[syncer.ApplyPage](b.hear("", &oplog.Page{Session: s, Number: 1, Entries: []oplog.Entry{entry(1)}}))
			if !taken || a.Token.Claim[origin] != 5 || a.Token.Gate.GCV[origin] != 5 || a.Token.Gate.GCTS != 7 {
				t.Errorf("%+v", a)
			}
			continue
		}
		var last syncer.Send
		for _, a := range out {
			if m, ok := a.(syncer.Send); ok {
				last = m
			}
		}
		if p, ok := last.Message.(*oplog.Pull); !ok || !p.Reconcile || p.Cursor != nil {
			t.Errorf("says %+v", last.Message)
		}
	}
}

func TestEmptyPageEndsThePull(t *testing.T) {
	b := newBench(t)
	s := b.pulls()
	b.hear("", &oplog.Begin{Session: s, KeyOrder: true, Clock: oplog.Clock{origin: 5}})
	b.hear("", &oplog.Page{Session: s, Number: 1})
	if b.engine.Bucket("orders").Pull != nil {
		t.Error("an empty page is taken")
	}
}

// TestResumedPullTakesExtrasThatCame from each of its donors: those that only
// the last one had may lie before its cursor.
func TestResumedPullTakesExtrasThatCame(t *testing.T) {
	other := oplog.Origin{Node: "c", Epoch: 8}
	for _, tt := range []struct {
		token *syncer.Token
		want  oplog.Clock
	}{
		{nil, oplog.Clock{origin: 5, other: 3}},
		{&syncer.Token{Cursor: []byte("m"), Claim: oplog.Clock{}}, oplog.Clock{}},
		{&syncer.Token{Cursor: []byte("m"), Claim: oplog.Clock{}, Ahead: oplog.Clock{origin: 4, other: 9}}, oplog.Clock{origin: 4, other: 3}},
	} {
		b := newBench(t)
		b.store.token = tt.token
		s := b.pulls()
		b.hear("", &oplog.Begin{Session: s, KeyOrder: true, Clock: oplog.Clock{}, Ahead: oplog.Clock{origin: 5, other: 3}})
		e, ok := find[syncer.EndPull](b.hear("", &oplog.End{Session: s}))
		if !ok || !e.Ahead.Equal(tt.want) {
			t.Errorf("after %+v: takes over %v, want %v", tt.token, e.Ahead, tt.want)
		}
	}
}

// TestResumedPullIsFollowedByAnother only if it moved the clock: a donor whose
// extras alone fill more than one session would be asked for ever.
func TestResumedPullIsFollowedByAnother(t *testing.T) {
	for claim, follows := range map[oplog.Seq]bool{5: false, 6: true} {
		b := newBench(t)
		b.store.clock = oplog.Clock{origin: 5}
		b.store.token = &syncer.Token{Cursor: []byte("k"), Claim: oplog.Clock{origin: claim}}
		s := b.pulls()
		b.store.token = nil
		b.hear("", &oplog.Begin{Session: s, Clock: oplog.Clock{origin: 9}, KeyOrder: true})
		b.hear("", &oplog.End{Session: s})
		m, _ := find[syncer.Send](b.step(syncer.PullEnded{Bucket: "orders", Session: s.ID}))
		if _, asks := m.Message.(*oplog.Pull); asks != follows {
			t.Errorf("clock 5, claim %d: asks again: %v", claim, asks)
		}
	}
}

// TestCatchesUpBesideASteadyWriter: one burst overflows the buffer. From then on
// a live message comes more often than a pull can end; what comes during a pull
// continues what the pull brings.
func TestCatchesUpBesideASteadyWriter(t *testing.T) {
	b := newBenchWith(t, syncer.Options{GapBuffer: 1000})
	b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB), Wall: b.now.UnixMilli(), Digests: []oplog.Digest{{Bucket: "orders", Clock: 99}}})
	seq := oplog.Seq(10)
	hears := func() { seq++; b.hear("b", live(seq)) }
	for range 20 {
		hears()
	}
	if !b.engine.Bucket("orders").CatchingUp {
		t.Fatal("no overflow")
	}
	for range 100 {
		pull := until[syncer.Send](b).Message
		m, ok := pull.(*oplog.Pull)
		if !ok {
			continue
		}
		snapshot := seq
		b.hear("", &oplog.Begin{Session: m.Session, Clock: oplog.Clock{origin: snapshot}})
		hears()
		b.hear("", &oplog.End{Session: m.Session})
		b.store.clock[origin] = snapshot
		out := b.step(syncer.PullEnded{Bucket: "orders", Session: m.Session.ID})
		if _, applied := find[syncer.ApplyLive](out); applied {
			b.store.clock[origin] = seq
			b.step(syncer.LiveApplied{Bucket: "orders", Size: 100})
		}
		if !b.engine.Bucket("orders").CatchingUp {
			return
		}
	}
	t.Error("catching up after a hundred pulls")
}

// TestJoinIsTriedAgain: a bucket that could not be joined while the disk was
// full is asked for again.
func TestJoinIsTriedAgain(t *testing.T) {
	b := newBench(t)
	b.engine = syncer.New(instance("a", nonceA), b.store, syncer.Options{Joins: func(string) bool { return true }})
	b.step(syncer.Connected{})
	live := &oplog.Live{Bucket: "stock", Origin: origin, First: 1, Last: 1, Entries: []oplog.Entry{entry(1)}}
	joins := func() bool {
		_, ok := find[syncer.JoinBucket](b.step(syncer.Heard{From: "b", Bucket: "stock", Message: live}))
		return ok
	}
	if !joins() || joins() {
		t.Error("not asked for once")
	}
	b.now = b.now.Add(2 * time.Minute)
	if !joins() {
		t.Error("not asked for again")
	}
}

// TestAnyMessageAtAnyTime throws messages with small and huge numbers at an
// engine. It must neither panic nor keep what they bring.
func TestAnyMessageAtAnyTime(t *testing.T) {
	for seed := range uint64(200) {
		b := newBench(t)
		rnd := rand.New(rand.NewPCG(seed, 3))
		s := b.pulls()
		for range 300 {
			b.now = b.now.Add(time.Duration(rnd.IntN(3000)) * time.Millisecond)
			ev := anyEvent(rnd, s)
			for _, a := range b.step(ev) {
				if send, ok := a.(syncer.Send); ok {
					if m, ok := send.Message.(*oplog.Pull); ok && rnd.IntN(2) == 0 {
						s = m.Session
					}
				}
			}
		}
		b.step(syncer.Stopping{})
		for range 50 {
			for _, a := range b.step(anyEvent(rnd, s)) {
				switch a.(type) {
				case syncer.Send, syncer.Answer, syncer.Beat:
					t.Fatalf("seed %d: says %#v while it stops", seed, a)
				}
			}
		}
	}
}

func anyEvent(rnd *rand.Rand, s oplog.Session) syncer.Event {
	number := func() uint64 {
		return []uint64{0, 1, 2, 3, 5, 1 << 20, 1<<63 - 1, 1<<64 - 2, 1<<64 - 1}[rnd.IntN(9)]
	}
	seq := max(number(), 1)
	clock := oplog.Clock{origin: seq}
	session := s
	if rnd.IntN(3) == 0 {
		session = oplog.Session{ID: max(number(), 1), Puller: nonceB, Donor: nonceA}
	}
	one := entry(1)
	one.Stamp.Seq = seq
	fail := func() error {
		if rnd.IntN(4) == 0 {
			return errors.New("no")
		}
		return nil
	}
	from := []string{"", "a", "b", "c"}[rnd.IntN(4)]
	inst := instance("b", oplog.Nonce{2, byte(rnd.IntN(2))})
	digests := []oplog.Digest{{Bucket: "orders", Clock: number(), Epoch: number(), Own: number()}, {Bucket: "stock"}}
	switch rnd.IntN(20) {
	case 0:
		return syncer.PageApplied{Bucket: "orders", Session: session.ID, Number: number(), Err: fail()}
	case 1:
		return syncer.PullEnded{Bucket: "orders", Session: session.ID, Err: fail()}
	case 2:
		return syncer.LiveApplied{Bucket: "orders", Size: 100, Err: fail()}
	case 3:
		return syncer.SnapshotOpened{Session: number(), Clock: clock, Ahead: clock, Rows: number(), Err: fail()}
	case 4:
		return syncer.PageRead{Session: number(), Entries: []oplog.Entry{one}, Size: 100, End: rnd.IntN(2) == 0, Err: fail()}
	case 5:
		return syncer.Disconnected{}
	case 6:
		return syncer.Connected{MaxPayload: number()}
	}
	list := []oplog.Message{
		&oplog.Heartbeat{From: inst, Wall: int64(number() >> 1), Digests: digests, Stopping: rnd.IntN(9) == 0},
		&oplog.Hello{From: inst, Session: number(), Digests: digests},
		&oplog.HelloReply{From: inst, Session: number(), Digests: digests, Unknown: []string{"stock"}},
		&oplog.Compare{Session: session, Bucket: "orders", Parts: make([]uint64, oplog.ClockParts)},
		&oplog.Differ{Session: session, Parts: []uint64{0, 255}},
		&oplog.Pull{Session: session, Bucket: "orders", Compared: rnd.IntN(2) == 0, Clock: clock, Resume: rnd.IntN(2) == 0},
		&oplog.Begin{Session: session, KeyOrder: rnd.IntN(2) == 0, Clock: clock, Rows: number()},
		&oplog.Page{Session: session, Number: number(), Entries: []oplog.Entry{one}},
		&oplog.End{Session: session, Pages: number(), Entries: number(), Cut: rnd.IntN(2) == 0},
		&oplog.Ack{Session: session, Bucket: "orders", Number: number()},
		&oplog.Busy{Session: session, RetryAfter: number()},
		&oplog.Abort{Session: session, Bucket: "orders", Reason: []oplog.Reason{
			oplog.ReasonGate, oplog.ReasonSlow, oplog.ReasonStale, oplog.ReasonFailed, "strange",
		}[rnd.IntN(5)]},
		&oplog.Live{Bucket: "orders", Origin: origin, First: min(seq, max(number(), 1)), Last: seq, Nonce: nonceB, Entries: []oplog.Entry{one}},
	}
	return syncer.Heard{From: from, Bucket: "orders", Reply: "b.1", Message: list[rnd.IntN(len(list))], Size: 100}
}
