package syncer_test

import (
	"testing"
	"time"

	"replicator/oplog"
	syncer "replicator/sync"
)

// beats lets b tell of one digest every half minute for d, and returns what the
// engine did.
func (b *bench) beats(d time.Duration, digest oplog.Digest) (out []syncer.Action) {
	for end := b.now.Add(d); b.now.Before(end); {
		b.now = b.now.Add(30 * time.Second)
		out = append(out, b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB), Wall: b.now.UnixMilli(), Digests: []oplog.Digest{digest}})...)
		out = append(out, b.step(syncer.Tick{})...)
	}
	return out
}

func sent[M oplog.Message](list []syncer.Action) (n int) {
	for _, a := range list {
		if s, ok := a.(syncer.Send); ok {
			if _, ok := s.Message.(M); ok {
				n++
			}
		}
	}
	return n
}

// TestCollectionNeedsEveryReport is rule G2.
func TestCollectionNeedsEveryReport(t *testing.T) {
	b := newBench(t)
	b.store.clock[origin] = 5
	b.store.collectable = true
	other := oplog.Digest{Bucket: "orders", Clock: 99, Floor: 70}
	out := b.beats(9*time.Minute, other)
	if _, ok := find[syncer.Collect](out); ok {
		t.Fatal("collected though b said nothing of its clock")
	}
	if n := sent[*oplog.Report](out); n > 0 {
		t.Errorf("%d reports before ten minutes", n)
	}
	if n := sent[*oplog.Report](b.beats(3*time.Minute, other)); n != 1 {
		t.Errorf("%d reports after ten minutes, want 1", n)
	}
	report := func(nonce oplog.Nonce, seq oplog.Seq) {
		b.hear("b", &oplog.Report{From: instance("b", nonce), Bucket: "orders", Clock: oplog.Clock{origin: seq}, Floor: 70})
	}
	report(oplog.Nonce{77}, 3)
	if _, ok := find[syncer.Collect](b.beats(2*time.Minute, other)); ok {
		t.Fatal("the report of another instance counts")
	}
	report(nonceB, 6)
	if _, ok := find[syncer.Collect](b.beats(2*time.Minute, other)); ok {
		t.Fatal("collected below a report that says more than we cover")
	}
	report(nonceB, 3)
	c, ok := find[syncer.Collect](b.beats(2*time.Minute, other))
	if !ok || c.Stable[origin] != 3 || c.Upto != 70 {
		t.Errorf("collects %+v, want up to 3 and 70", c)
	}
	b.hear("b", &oplog.Heartbeat{From: instance("b", oplog.Nonce{78})})
	if _, ok := find[syncer.Collect](b.beats(2*time.Minute, oplog.Digest{Bucket: "orders", Clock: 99})); ok {
		t.Error("the report of an earlier instance counts")
	}
}

// TestEqualDigestIsAReport: the same hash is the same clock.
func TestEqualDigestIsAReport(t *testing.T) {
	b := newBench(t)
	b.store.clock[origin] = 5
	b.store.collectable = true
	d := b.store.Durable("orders")
	d.Bucket, d.Floor = "orders", 50
	c, ok := find[syncer.Collect](b.beats(3*time.Minute, d))
	if !ok || c.Stable[origin] != 5 || c.Upto != 50 {
		t.Errorf("collects %+v, want up to 5 and 50", c)
	}
}

// TestMembersCountUntilEvicted is rule G4: one that was heard before this
// process began counts as well.
func TestMembersCountUntilEvicted(t *testing.T) {
	for name, tt := range map[string]struct {
		silent  time.Duration
		buckets []string
		want    bool
	}{
		"silent for a day":     {24 * time.Hour, []string{"orders"}, false},
		"silent for a month":   {31 * 24 * time.Hour, []string{"orders"}, true},
		"without the bucket":   {24 * time.Hour, []string{"stock"}, true},
		"of no bucket we know": {24 * time.Hour, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			b := newBenchWith(t, syncer.Options{Members: []syncer.Member{
				{Node: "c", Heard: begin.Add(-tt.silent), Buckets: tt.buckets},
			}})
			b.store.collectable = true
			var out []syncer.Action
			for range 10 {
				b.now = b.now.Add(30 * time.Second)
				out = append(out, b.step(syncer.Tick{})...)
			}
			if _, ok := find[syncer.Collect](out); ok != tt.want {
				t.Errorf("collected %v, want %v", ok, tt.want)
			}
		})
	}
}

// TestMemberHeardInTheFuture counts from the start on, not until that future is
// past: the wall clock had been wrong.
func TestMemberHeardInTheFuture(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := newBenchWith(t, syncer.Options{EvictAfter: time.Hour, Members: []syncer.Member{
		{Node: "c", Heard: begin.AddDate(80, 0, 0), Buckets: []string{"orders"}},
	}})
	b.store.collectable = true
	collects := func(d time.Duration) bool {
		var out []syncer.Action
		for end := b.now.Add(d); b.now.Before(end); {
			b.now = b.now.Add(30 * time.Second)
			out = append(out, b.step(syncer.Tick{})...)
		}
		_, ok := find[syncer.Collect](out)
		return ok
	}
	if collects(59 * time.Minute) {
		t.Error("collected at once")
	}
	if !collects(10 * time.Minute) {
		t.Error("never collected")
	}
}

// TestNothingIsCollectedBesideADouble: who bears our name may lack anything.
func TestNothingIsCollectedBesideADouble(t *testing.T) {
	b := newBench(t)
	b.store.collectable = true
	b.hear("a", &oplog.Heartbeat{From: instance("a", oplog.Nonce{4}), Wall: 5})
	b.now = b.now.Add(20 * time.Second)
	b.hear("a", &oplog.Heartbeat{From: instance("a", oplog.Nonce{4}), Wall: 6})
	var out []syncer.Action
	for range 10 {
		b.now = b.now.Add(30 * time.Second)
		out = append(out, b.step(syncer.Tick{})...)
	}
	if _, ok := find[syncer.Collect](out); ok {
		t.Error("collected")
	}
}

// TestDonorOfAReconcileCollectsNothing for a while: one that was cut would have
// to start over each time.
func TestDonorOfAReconcileCollectsNothing(t *testing.T) {
	b := newBench(t)
	b.store.collectable = true
	b.hear("c", &oplog.Pull{
		Session: oplog.Session{ID: 1, Puller: oplog.Nonce{3}, Donor: nonceA}, Bucket: "orders", Reconcile: true, Resume: true,
	})
	b.step(syncer.SnapshotOpened{Session: 1, Rows: 1})
	b.step(syncer.PageRead{Session: 1, End: true})
	collected := func(d time.Duration) bool {
		for end := b.now.Add(d); b.now.Before(end); {
			b.now = b.now.Add(30 * time.Second)
			if _, ok := find[syncer.Collect](b.step(syncer.Tick{})); ok {
				return true
			}
		}
		return false
	}
	if collected(4 * time.Minute) {
		t.Error("collected beside a reconcile")
	}
	if !collected(4 * time.Minute) {
		t.Error("never collected again")
	}
}
