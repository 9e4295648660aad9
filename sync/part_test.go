package syncer_test

import (
	"slices"
	"testing"
	"time"

	"replicator/oplog"
	syncer "replicator/sync"
)

// partingFrom begins to part with orders, of which b has all, and returns the hello in
// which b is asked whether it keeps it.
func partingFrom(t *testing.T, b *bench) (*oplog.Hello, oplog.Digest) {
	t.Helper()
	b.store.clock = oplog.Clock{origin: 3}
	same := b.store.Durable("orders")
	b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB), Digests: []oplog.Digest{same}})
	b.hear("b", &oplog.Hello{From: instance("b", nonceB), Session: 5, Digests: []oplog.Digest{same}})
	b.step(syncer.HandOver{Buckets: []string{"orders"}})
	b.hear("b", &oplog.Report{From: instance("b", nonceB), Bucket: "orders", Clock: b.store.clock.Clone()})
	if lacking := b.engine.Lacking(); len(lacking) > 0 {
		t.Fatalf("%v", lacking)
	}
	for _, a := range append(b.step(syncer.Parting{Bucket: "orders"}), b.step(syncer.Tick{})...) {
		if s, ok := a.(syncer.Send); ok {
			if h, ok := s.Message.(*oplog.Hello); ok {
				return h, same
			}
		}
	}
	t.Fatal("no hello")
	return nil, same
}

// anyHello runs for d, b beating each 5 s, and reports whether b is asked again.
func (b *bench) anyHello(d time.Duration, digest oplog.Digest) bool {
	asked := false
	look := func(list []syncer.Action) {
		for _, a := range list {
			if s, ok := a.(syncer.Send); ok {
				if h, ok := s.Message.(*oplog.Hello); ok && slices.ContainsFunc(h.Digests, func(d oplog.Digest) bool { return d.Bucket == "orders" }) {
					asked = true
				}
			}
		}
	}
	next := b.now
	for end := b.now.Add(d); b.now.Before(end) && !asked; b.now = b.now.Add(100 * time.Millisecond) {
		if !b.now.Before(next) {
			look(b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB), Digests: []oplog.Digest{digest}}))
			look(b.hear("b", &oplog.Report{From: instance("b", nonceB), Bucket: "orders", Clock: b.store.clock.Clone()}))
			next = b.now.Add(5 * time.Second)
		}
		look(b.step(syncer.Tick{}))
	}
	return asked
}

// TestLeaverAsksAgainWhoGaveUp: b was parting, too, and has given up since: it
// keeps the bucket, and says so to who asks.
func TestLeaverAsksAgainWhoGaveUp(t *testing.T) {
	b := newBench(t)
	h, same := partingFrom(t, b)
	b.hear("", &oplog.HelloReply{From: instance("b", nonceB), Session: h.Session, Unknown: []string{"orders"}})
	if !b.anyHello(30*time.Minute, same) {
		t.Errorf("b is not asked again within half an hour; lacking %v", b.engine.Lacking())
	}
}

// TestLeaverAsksAnHeirThatStartedAgain: b starts anew before it has answered, and
// its hello comes first.
func TestLeaverAsksAnHeirThatStartedAgain(t *testing.T) {
	b := newBench(t)
	_, same := partingFrom(t, b)
	again := instance("b", oplog.Nonce{77})
	b.hear("b", &oplog.Hello{From: again, Session: 9, Digests: []oplog.Digest{same}})
	asked := false
	for range 360 {
		b.now = b.now.Add(5 * time.Second)
		var out []syncer.Action
		out = append(out, b.hear("b", &oplog.Heartbeat{From: again, Digests: []oplog.Digest{same}})...)
		out = append(out, b.hear("b", &oplog.Report{From: again, Bucket: "orders", Clock: b.store.clock.Clone()})...)
		out = append(out, b.step(syncer.Tick{})...)
		for _, a := range out {
			if s, ok := a.(syncer.Send); ok {
				_, hello := s.Message.(*oplog.Hello)
				asked = asked || hello
			}
		}
	}
	if !asked {
		t.Errorf("b is not asked again within half an hour; lacking %v", b.engine.Lacking())
	}
}

// TestPeerThatForgotThatABucketWasLeft: b was told, answered, and crashed before
// that was on its disk. Its new instance has to be told again.
func TestPeerThatForgotThatABucketWasLeft(t *testing.T) {
	b := newBench(t)
	b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB)})
	b.step(syncer.Left{Bucket: "orders"})
	hello := func(list []syncer.Action) *oplog.Hello {
		for _, a := range list {
			if s, ok := a.(syncer.Send); ok {
				if h, ok := s.Message.(*oplog.Hello); ok {
					return h
				}
			}
		}
		return nil
	}
	var h *oplog.Hello
	for range 100 {
		b.now = b.now.Add(100 * time.Millisecond)
		if h = hello(b.step(syncer.Tick{})); h != nil && len(h.Unknown) > 0 {
			break
		}
	}
	if h == nil || len(h.Unknown) == 0 {
		t.Fatal("b is never told")
	}
	b.hear("", &oplog.HelloReply{From: instance("b", nonceB), Session: h.Session})
	b.hear("b", &oplog.Heartbeat{From: instance("b", oplog.Nonce{77})})
	b.now = b.now.Add(time.Second)
	b.hear("b", &oplog.Heartbeat{From: instance("b", oplog.Nonce{77})})
	for range 100 {
		b.now = b.now.Add(100 * time.Millisecond)
		if h = hello(b.step(syncer.Tick{})); h != nil {
			break
		}
	}
	if h == nil || !slices.Contains(h.Unknown, "orders") {
		t.Errorf("the new instance of b is told %+v", h)
	}
}

// TestMemberOfTheDiskHoldsUpForEver is the other side: b left the bucket, we knew
// and forgot; its hello comes before ours.
func TestMemberOfTheDiskHoldsUpForEver(t *testing.T) {
	b := newBenchWith(t, syncer.Options{Members: []syncer.Member{{Node: "b", Heard: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Buckets: []string{"orders"}}}})
	b.store.collectable = true
	b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB)})
	b.hear("b", &oplog.Hello{From: instance("b", nonceB), Session: 5})
	pause := time.Second
	for range 24 * 60 {
		b.now = b.now.Add(pause)
		pause = min(2*pause, time.Minute)
		out := append(b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB)}), b.step(syncer.Tick{})...)
		for _, a := range out {
			switch a := a.(type) {
			case syncer.Collect:
				return
			case syncer.Send:
				if h, ok := a.Message.(*oplog.Hello); ok {
					t.Logf("it is asked: %v", h.Digests)
					return
				}
			}
		}
	}
	t.Errorf("nothing is collected, and b is not asked, for a day: %+v", b.engine.Members())
}
