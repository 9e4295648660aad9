package syncer_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"replicator/oplog"
	syncer "replicator/sync"
)

// unsettledReplica is a replica that wants to be emptied: it has met what it cannot
// take eight times.
func unsettledReplica(t *testing.T) *bench {
	t.Helper()
	b := &bench{
		t: t, store: &memory{clock: oplog.Clock{origin: 5}}, rnd: rand.New(rand.NewPCG(1, 2)),
		now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	self := oplog.Instance{Node: "a", Nonce: nonceA, Prev: oplog.Nonce{9}, Started: b.now.UnixMilli(), Replica: true}
	b.engine = syncer.New(self, b.store, syncer.Options{})
	b.step(syncer.Connected{MaxPayload: 1 << 20})
	b.step(syncer.Joined{Bucket: "orders"})
	b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB), Wall: b.now.UnixMilli(), Digests: []oplog.Digest{{Bucket: "orders", Clock: 99}}})
	return b
}

func (b *bench) refuse() {
	for range 8 {
		b.step(syncer.LiveApplied{Bucket: "orders", Err: fmt.Errorf("%w", syncer.ErrAmbiguous)})
	}
}

// TestOnlyAMasterThatStaysVouches: a replica throws nothing away on the word of one
// that is a member no more, has stopped, or was not heard for long.
func TestOnlyAMasterThatStaysVouches(t *testing.T) {
	report := &oplog.Report{From: instance("b", nonceB), Bucket: "orders", Clock: oplog.Clock{origin: 6}}
	for name, before := range map[string]func(b *bench){
		"forgotten": func(b *bench) {
			b.step(syncer.Retirements{Nodes: map[string]syncer.Retired{"b": {State: syncer.MemberForgotten, By: "c"}}})
		},
		"left": func(b *bench) {
			b.step(syncer.Retirements{Nodes: map[string]syncer.Retired{"b": {State: syncer.MemberLeft, By: "b"}}})
		},
		"stopped": func(b *bench) { b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB), Stopping: true}) },
		"silent":  func(b *bench) { b.now = b.now.Add(40 * 24 * time.Hour) },
		"divergent": func(b *bench) { // it has lost rows
			b.store.sum = 8
			b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB), Digests: []oplog.Digest{lossy}})
		},
		"": func(*bench) {},
	} {
		b := unsettledReplica(t)
		b.refuse()
		before(b)
		wipe, wiped := find[syncer.Wipe](b.hear("b", report))
		if wiped != (name == "") {
			t.Errorf("a master that is %q: emptied %v", name, wiped)
		}
		if wiped && !wipe.Clock.Equal(report.Clock) { // what b has not got stays, and write 6 may be on its way
			t.Errorf("what is under %v goes", wipe.Clock)
		}
	}
}

// lossy is of the same clock as the bench's store, and of other rows.
var lossy = oplog.Digest{Bucket: "orders", Clock: oplog.HashClock(oplog.Clock{origin: 5}).Sum, Sum: 7}

// TestNobodyLeavesToAnHeirThatLostRows: equal clocks are no proof.
func TestNobodyLeavesToAnHeirThatLostRows(t *testing.T) {
	b := newBench(t)
	b.store.clock, b.store.sum = oplog.Clock{origin: 5}, 8
	b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB), Digests: []oplog.Digest{lossy}})
	b.step(syncer.HandOver{Buckets: []string{"orders"}})
	if l := b.engine.Lacking(); len(l) == 0 {
		t.Error("b has lost rows, and is the only heir")
	}
	same := lossy
	same.Sum = 8
	b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB), Digests: []oplog.Digest{same}})
	if l := b.engine.Lacking(); len(l) != 0 {
		t.Errorf("b is the same by now, and lacks %v", l)
	}
}
