package syncer_test

import (
	"reflect"
	"testing"
	"time"

	"replicator/oplog"
	syncer "replicator/sync"
)

func (b *bench) stateOf(node string) syncer.MemberState {
	for _, m := range b.engine.Members() {
		if m.Node == node {
			return m.State
		}
	}
	return ""
}

// quiet lets d pass in steps, as ticks do, and returns what the engine did.
func (b *bench) quiet(d time.Duration) (out []syncer.Action) {
	for end := b.now.Add(d); b.now.Before(end); {
		b.now = b.now.Add(min(20*time.Second, end.Sub(b.now)))
		out = append(out, b.step(syncer.Tick{})...)
	}
	return out
}

func events(list []syncer.Action, peer string) (kinds []syncer.EventKind) {
	for _, a := range list {
		if r, ok := a.(syncer.Raise); ok && r.Peer == peer {
			kinds = append(kinds, r.Kind)
		}
	}
	return kinds
}

func wantEvents(t *testing.T, list []syncer.Action, peer string, want ...syncer.EventKind) {
	t.Helper()
	if got := events(list, peer); !reflect.DeepEqual(got, want) {
		t.Errorf("events on %s: %v, want %v", peer, got, want)
	}
}

func beatOfB() *oplog.Heartbeat {
	return &oplog.Heartbeat{From: instance("b", nonceB), Digests: []oplog.Digest{{Bucket: "orders"}}}
}

// TestMemberFallsSilentAndReturns: each state is told once.
func TestMemberFallsSilentAndReturns(t *testing.T) {
	b := newBenchWith(t, syncer.Options{EvictAfter: time.Hour})
	wantEvents(t, b.hear("b", beatOfB()), "b")
	if s := b.stateOf("b"); s != syncer.MemberLive {
		t.Errorf("heard just now, it is %s", s)
	}
	out := b.quiet(2 * time.Minute)
	if s := b.stateOf("b"); s != syncer.MemberLive {
		t.Errorf("silent for two minutes, it is %s", s)
	}
	out = append(out, b.quiet(48*time.Minute)...)
	wantEvents(t, out, "b", syncer.EventOverdue)
	if s := b.stateOf("b"); s != syncer.MemberOverdue {
		t.Errorf("silent for 50 minutes, it is %s", s)
	}
	wantEvents(t, b.quiet(3*time.Hour), "b", syncer.EventEvicted)
	if s := b.stateOf("b"); s != syncer.MemberEvicted {
		t.Errorf("silent for hours, it is %s", s)
	}
	wantEvents(t, b.hear("b", beatOfB()), "b", syncer.EventReturned)
	wantEvents(t, b.hear("b", beatOfB()), "b")
	if s := b.stateOf("b"); s != syncer.MemberLive {
		t.Errorf("heard again, it is %s", s)
	}
}

// TestStoppedMemberIsNotOverdue: it has said so.
func TestStoppedMemberIsNotOverdue(t *testing.T) {
	b := newBench(t)
	b.hear("b", beatOfB())
	bye := beatOfB()
	bye.Stopping = true
	b.hear("b", bye)
	wantEvents(t, b.quiet(time.Hour), "b")
	if s := b.stateOf("b"); s != syncer.MemberStopped {
		t.Errorf("it is %s", s)
	}
	wantEvents(t, b.hear("b", beatOfB()), "b")
}

// TestNobodyIsOverdueForOurSilence: who was cut off itself waits as long as it
// would have anyway.
func TestNobodyIsOverdueForOurSilence(t *testing.T) {
	b := newBench(t)
	b.hear("b", beatOfB())
	b.step(syncer.Disconnected{})
	out := b.quiet(time.Hour)
	out = append(out, b.step(syncer.Connected{MaxPayload: 1 << 20})...)
	wantEvents(t, append(out, b.quiet(2*time.Minute)...), "b")
	wantEvents(t, b.quiet(3*time.Minute), "b", syncer.EventOverdue)
}

// TestEvictionIsToldOnce, not by each process that comes after.
func TestEvictionIsToldOnce(t *testing.T) {
	b := newBench(t)
	b.engine = syncer.New(instance("a", nonceA), b.store, syncer.Options{EvictAfter: time.Hour, Members: []syncer.Member{
		{Node: "b", Heard: b.now.Add(-2 * time.Hour), Buckets: []string{"orders"}},
		{Node: "c", Heard: b.now.Add(-time.Minute), Buckets: []string{"orders"}},
	}})
	out := b.step(syncer.Connected{MaxPayload: 1 << 20})
	if s := b.stateOf("c"); s != syncer.MemberOverdue {
		t.Errorf("not heard by this process, c is %s", s)
	}
	out = append(out, b.quiet(time.Minute)...)
	wantEvents(t, out, "c") // it may not have had the time
	out = append(out, b.quiet(30*time.Minute)...)
	wantEvents(t, out, "b")
	wantEvents(t, out, "c", syncer.EventOverdue)
	wantEvents(t, b.hear("b", beatOfB()), "b", syncer.EventReturned)
}

// TestRetiredMemberDoesNotCount is rule G4 for one that left or was forgotten: it
// holds up nothing, heard or not, until it is taken back.
func TestRetiredMemberDoesNotCount(t *testing.T) {
	for _, state := range []syncer.MemberState{syncer.MemberLeft, syncer.MemberForgotten} {
		t.Run(string(state), func(t *testing.T) {
			b := newBench(t)
			b.store.clock[origin], b.store.collectable = 5, true
			other := oplog.Digest{Bucket: "orders", Clock: 99, Floor: 70}
			if _, ok := find[syncer.Collect](b.beats(3*time.Minute, other)); ok {
				t.Fatal("collected though b said nothing of its clock")
			}
			if m := b.engine.Members()[0]; !reflect.DeepEqual(m.HoldsUp, []string{"orders"}) {
				t.Errorf("b holds up %v", m.HoldsUp)
			}
			out := b.step(syncer.Retirements{Nodes: map[string]syncer.Retired{"b": {State: state, By: "c"}}})
			wantEvents(t, out, "b", map[syncer.MemberState]syncer.EventKind{
				syncer.MemberLeft: syncer.EventLeft, syncer.MemberForgotten: syncer.EventForgotten,
			}[state])
			out = b.beats(3*time.Minute, other)
			if _, ok := find[syncer.Collect](out); !ok {
				t.Error("what it lacks is still kept for it")
			}
			wantEvents(t, append(out, b.quiet(time.Hour)...), "b")
			if m := b.engine.Members()[0]; m.State != state || len(m.HoldsUp) > 0 {
				t.Errorf("b is %s and holds up %v", m.State, m.HoldsUp)
			}
			b.beats(time.Minute, other)
			wantEvents(t, b.step(syncer.Retirements{}), "b", syncer.EventReadmitted)
			if _, ok := find[syncer.Collect](b.beats(3*time.Minute, other)); ok {
				t.Error("it is a member again, and what it lacks is not kept for it")
			}
		})
	}
}

// TestReportIsAnsweredOnce: both sides of one exchange know of each other then,
// and it ends.
func TestReportIsAnsweredOnce(t *testing.T) {
	b := newBench(t)
	b.hear("b", beatOfB())
	report := &oplog.Report{From: instance("b", nonceB), Bucket: "orders", Clock: oplog.Clock{origin: 1}}
	if n := sent[*oplog.Report](b.hear("b", report)); n != 1 {
		t.Errorf("%d answers, want 1", n)
	}
	b.now = b.now.Add(5 * time.Second) // a long way
	if n := sent[*oplog.Report](b.hear("b", report)); n != 0 {
		t.Errorf("%d answers to what may be an answer", n)
	}
	b.now = b.now.Add(20 * time.Second)
	if n := sent[*oplog.Report](b.hear("b", report)); n != 1 {
		t.Errorf("%d answers to the next, want 1", n)
	}
}

// TestHandOver asks the live members until each has said that it covers what was
// durable here when the handing over began.
func TestHandOver(t *testing.T) {
	b := newBench(t)
	b.store.clock[origin] = 5
	b.step(syncer.HandOver{Buckets: []string{"orders"}})
	if got := b.engine.Lacking(); !reflect.DeepEqual(got, map[string][]string{"orders": nil}) {
		t.Errorf("alone, lacking %v: want orders, by nobody", got)
	}
	other := oplog.Digest{Bucket: "orders", Clock: 99}
	b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB), Digests: []oplog.Digest{other}})
	b.hear("d", &oplog.Heartbeat{From: instance("d", oplog.Nonce{4}), Digests: []oplog.Digest{other}})
	out := b.step(syncer.HandOver{Buckets: []string{"orders"}})
	b.now = b.now.Add(time.Second)
	out = append(out, b.step(syncer.Tick{})...)
	if n := sent[*oplog.Report](out); n != 4 {
		t.Errorf("%d reports sent to two members within a second, want 4", n)
	}
	if got := b.engine.Lacking(); !reflect.DeepEqual(got, map[string][]string{"orders": {"b", "d"}}) {
		t.Errorf("lacking %v, want orders, by b and d", got)
	}
	says := func(node string, nonce oplog.Nonce, seq oplog.Seq) {
		b.hear(node, &oplog.Report{From: instance(node, nonce), Bucket: "orders", Clock: oplog.Clock{origin: seq}})
	}
	b.store.clock[origin] = 9 // written since: by others, for we write no more
	says("b", nonceB, 4)
	says("d", oplog.Nonce{4}, 5)
	if got := b.engine.Lacking(); !reflect.DeepEqual(got, map[string][]string{"orders": {"b"}}) {
		t.Errorf("lacking %v, want orders, by b", got)
	}
	says("b", nonceB, 6)
	if got := b.engine.Lacking(); len(got) > 0 {
		t.Errorf("all have it, lacking %v", got)
	}
	b.now = b.now.Add(time.Second)
	b.step(syncer.Tick{})
	b.now = b.now.Add(time.Minute)
	if n := sent[*oplog.Report](b.step(syncer.Tick{})); n > 0 {
		t.Error("it goes on asking")
	}
}

// TestReplicasAreNoHeirs: a replica may empty itself, so what only it has been
// handed is not handed over.
func TestReplicasAreNoHeirs(t *testing.T) {
	b := newBench(t)
	b.store.clock[oplog.Origin{Node: "a", Epoch: 1}] = 5
	beat := beatOfB()
	beat.From.Replica = true
	beat.Digests = []oplog.Digest{b.store.Durable("orders")}
	b.hear("b", beat)
	b.step(syncer.HandOver{Buckets: []string{"orders"}})
	if got, want := b.engine.Lacking(), (map[string][]string{"orders": nil}); !reflect.DeepEqual(got, want) {
		t.Errorf("lacking with a replica alone: %v, want %v", got, want)
	}
	beat.From.Replica = false
	b.hear("b", beat)
	if got := b.engine.Lacking(); len(got) > 0 {
		t.Errorf("lacking with a master that has all: %v", got)
	}
}
