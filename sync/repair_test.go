package syncer_test

import (
	"errors"
	"testing"
	"time"

	"replicator/oplog"
	syncer "replicator/sync"
)

// divergent makes b tell of the bench's own clock and another sum.
func divergent(b *bench) oplog.Digest {
	b.store.clock[origin], b.store.sum = 5, 1
	return oplog.Digest{Bucket: "orders", Clock: oplog.HashClock(b.store.clock).Sum, Sum: 2}
}

func raisedOf(list []syncer.Action, kind syncer.EventKind) (n int) {
	for _, a := range list {
		if r, ok := a.(syncer.Raise); ok && r.Kind == kind {
			n++
		}
	}
	return n
}

// asksForParts lets b diverge until the engine has had its rows read and asks b.
func asksForParts(b *bench) *oplog.Parts {
	b.t.Helper()
	out := b.beats(3*time.Minute, divergent(b))
	if raisedOf(out, syncer.EventDivergence) != 1 || sent[*oplog.Pull](out) > 0 {
		b.t.Fatalf("divergence led to %+v", out)
	}
	scrub, ok := find[syncer.Scrub](out)
	if !ok || !scrub.Soon || sent[*oplog.Parts](out) > 0 {
		b.t.Fatal("the own rows were not read first")
	}
	b.step(syncer.Scrubbed{Bucket: "orders", Soon: true})
	for {
		s := until[syncer.Send](b)
		if m, ok := s.Message.(*oplog.Parts); ok {
			return m
		}
	}
}

func TestDivergenceIsToldAndRepaired(t *testing.T) {
	b := newBench(t)
	m := asksForParts(b)
	if m.Session.Donor != nonceB || m.Sums[3] != 1 || !m.Clock.Equal(b.store.clock) {
		t.Fatalf("asks %+v", m)
	}
	b.hear("", &oplog.Begin{Session: m.Session, KeyOrder: true, Clock: m.Clock, Rows: 9})
	apply, ok := find[syncer.ApplyPage](b.hear("", &oplog.Page{Session: m.Session, Number: 1, Entries: []oplog.Entry{entry(5)}}))
	if !ok || apply.Repair == nil || !apply.Repair.Covered || apply.Repair.Gated != 5 || apply.Token != nil {
		t.Fatalf("%+v", apply)
	}
	b.step(syncer.PageApplied{Bucket: "orders", Session: m.Session.ID, Number: 1, Changed: 1})
	out := b.hear("", &oplog.End{Session: m.Session, Pages: 1, Entries: 1})
	if raisedOf(out, syncer.EventRepaired) != 1 {
		t.Errorf("%+v", out)
	}
	if _, ok := find[syncer.EndPull](out); ok {
		t.Error("a repair moved the clock")
	}
	if b.engine.Bucket("orders").Pull != nil {
		t.Error("the session is still open")
	}
}

// TestRepairOfWhatDonorsLackOnlyRestores: the engine looks itself whether the
// donor covers what it covered.
func TestRepairOfWhatDonorsLackOnlyRestores(t *testing.T) {
	b := newBench(t)
	m := asksForParts(b)
	b.hear("", &oplog.Begin{Session: m.Session, KeyOrder: true, Clock: oplog.Clock{origin: 4}})
	apply, _ := find[syncer.ApplyPage](b.hear("", &oplog.Page{Session: m.Session, Number: 1, Entries: []oplog.Entry{entry(4)}}))
	if apply.Repair == nil || apply.Repair.Covered {
		t.Errorf("%+v", apply)
	}
}

// TestFruitlessRepairsBackOff: a pair that cannot be mended keeps the alarm and
// does not storm.
func TestFruitlessRepairsBackOff(t *testing.T) {
	b := newBench(t)
	m := asksForParts(b)
	repairs, alarms := 0, 0
	digest := divergent(b)
	for end := b.now.Add(time.Hour); b.now.Before(end); {
		b.hear("", &oplog.Begin{Session: m.Session, KeyOrder: true, Clock: m.Clock})
		b.hear("", &oplog.End{Session: m.Session})
		out := b.beats(30*time.Second, digest)
		alarms += raisedOf(out, syncer.EventDivergence)
		for _, a := range out {
			if s, ok := a.(syncer.Send); ok {
				if parts, ok := s.Message.(*oplog.Parts); ok {
					m = parts
					repairs++
				}
			}
		}
	}
	if repairs < 5 || repairs > 30 || alarms < 5 || alarms > 7 {
		t.Errorf("%d repairs and %d alarms in an hour", repairs, alarms)
	}
	if p := b.engine.Peers()["b"].Buckets["orders"]; !p.Divergent || p.InSync {
		t.Errorf("%+v", p)
	}
}

// TestNothingIsCollectedDuringARepair: what a late page brings could have been
// deleted meanwhile.
func TestNothingIsCollectedDuringARepair(t *testing.T) {
	b := newBenchWith(t, syncer.Options{AnswerTimeout: time.Hour})
	b.store.collectable = true
	m := asksForParts(b)
	b.hear("b", &oplog.Report{From: instance("b", nonceB), Bucket: "orders", Clock: b.store.clock.Clone(), Floor: 70})
	if _, ok := find[syncer.Collect](b.beats(5*time.Minute, divergent(b))); ok {
		t.Error("collected during a repair")
	}
	b.hear("", &oplog.Begin{Session: m.Session, KeyOrder: true, Clock: m.Clock})
	b.hear("", &oplog.End{Session: m.Session})
	equal := divergent(b)
	equal.Sum = b.store.sum
	if _, ok := find[syncer.Collect](b.beats(2*time.Minute, equal)); !ok {
		t.Error("not collected after it")
	}
}

// TestBadRowsAreFetched: from anyone, though the digests are equal.
func TestBadRowsAreFetched(t *testing.T) {
	b := newBench(t)
	digest := divergent(b)
	digest.Sum = b.store.sum
	b.beats(2*time.Minute, digest)
	b.step(syncer.RepairNow{Bucket: "orders"})
	b.store.bad = 1
	b.step(syncer.Scrubbed{Bucket: "orders", Soon: true})
	for {
		if m, ok := until[syncer.Send](b).Message.(*oplog.Parts); ok {
			if len(m.Bad) != 1 || m.Bad[0] != 9 {
				t.Errorf("asks for %v", m.Bad)
			}
			return
		}
	}
}

// TestDonorOfARepair compares sums only where both have taken the same writes.
func TestDonorOfARepair(t *testing.T) {
	sums := make([]uint64, oplog.HashParts)
	sums[3] = 7
	mine := [oplog.HashParts]uint64{8: 1}
	for name, c := range map[string]struct {
		clock oplog.Clock
		bad   []uint64
		want  []int // parts; nil: refused
	}{
		"equal clocks":          {oplog.Clock{origin: 5}, nil, []int{3, 8}},
		"the donor is ahead":    {oplog.Clock{origin: 4}, []uint64{9}, []int{9}},
		"the donor lags":        {oplog.Clock{origin: 6}, nil, nil},
		"it lags, rows are bad": {oplog.Clock{origin: 6}, []uint64{9}, []int{9}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB)})
			id := oplog.Session{ID: 8, Puller: nonceB, Donor: nonceA}
			open, ok := find[syncer.OpenSnapshot](b.hear("b", &oplog.Parts{Session: id, Bucket: "orders", Clock: c.clock, Sums: sums, Bad: c.bad}))
			if !ok {
				t.Fatal("no snapshot")
			}
			out := b.step(syncer.SnapshotOpened{Session: open.Session, Clock: oplog.Clock{origin: 5}, Rows: 9, Sums: &mine})
			read, ok := find[syncer.ReadPage](out)
			if ok != (c.want != nil) {
				t.Fatalf("%+v", out)
			}
			if c.want == nil {
				if m, ok := find[syncer.Answer](out); !ok || m.Message.(*oplog.Abort).Reason != oplog.ReasonMoved {
					t.Errorf("%+v", out)
				}
				return
			}
			want := [oplog.HashParts]bool{}
			for _, n := range c.want {
				want[n] = true
			}
			if *read.Wanted != want || !read.KeyOrder {
				t.Error("reads other parts")
			}
			b.now = b.now.Add(9 * time.Second)
			out = b.step(syncer.PageRead{Session: open.Session, Last: []byte("k")})
			if m, ok := find[syncer.Answer](out); !ok || oplog.KindOf(m.Message) != oplog.KindWait {
				t.Errorf("no sign of life: %+v", out)
			}
			if _, ok := find[syncer.ReadPage](out); !ok {
				t.Error("does not read on")
			}
		})
	}
}

// TestPageThatCannotBeReadIsLookedInto: the donor refuses, and reads its rows.
func TestPageThatCannotBeReadIsLookedInto(t *testing.T) {
	b := newBench(t)
	b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB)})
	id := oplog.Session{ID: 8, Puller: nonceB, Donor: nonceA}
	open, _ := find[syncer.OpenSnapshot](b.hear("b", &oplog.Pull{Session: id, Bucket: "orders"}))
	b.step(syncer.SnapshotOpened{Session: open.Session})
	out := b.step(syncer.PageRead{Session: open.Session, Err: errors.New("rotten"), Corrupt: true})
	if s, ok := find[syncer.Scrub](out); !ok || !s.Soon {
		t.Errorf("%+v", out)
	}
	if a, ok := find[syncer.Answer](out); !ok || a.Message.(*oplog.Abort).Reason != oplog.ReasonFailed {
		t.Errorf("%+v", out)
	}
}

// TestRowsAreReadEveryDay: one scrub at a time, the first soon after the start.
func TestRowsAreReadEveryDay(t *testing.T) {
	b := newBench(t)
	scrubs := 0
	for end := b.now.Add(72 * time.Hour); b.now.Before(end); b.now = b.now.Add(30 * time.Minute) {
		if s, ok := find[syncer.Scrub](b.step(syncer.Tick{})); ok {
			scrubs++
			if s.Soon {
				t.Error("in a hurry")
			}
			b.step(syncer.Scrubbed{Bucket: "orders"})
		}
	}
	if scrubs != 3 {
		t.Errorf("%d scrubs in three days", scrubs)
	}
}

// TestCutReconcileCountsTheRest is C7: before the end, cut or not, the donor has
// read all its rows.
func TestCutReconcileCountsTheRest(t *testing.T) {
	b := newBenchWith(t, syncer.Options{CutBytes: 100})
	b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB)})
	id := oplog.Session{ID: 8, Puller: nonceB, Donor: nonceA}
	open, _ := find[syncer.OpenSnapshot](b.hear("b", &oplog.Pull{Session: id, Bucket: "orders", Resume: true, Reconcile: true}))
	read, _ := find[syncer.ReadPage](b.step(syncer.SnapshotOpened{Session: open.Session}))
	if !read.Whole || read.Rest {
		t.Fatalf("%+v", read)
	}
	out := b.step(syncer.PageRead{Session: open.Session, Entries: []oplog.Entry{entry(1)}, Size: 200, Last: []byte("k")})
	if read, ok := find[syncer.ReadPage](out); !ok || !read.Rest {
		t.Fatalf("the rest is not counted: %+v", out)
	}
	b.now = b.now.Add(9 * time.Second)
	out = b.step(syncer.PageRead{Session: open.Session, Last: []byte("m")})
	if a, ok := find[syncer.Answer](out); !ok || oplog.KindOf(a.Message) != oplog.KindWait {
		t.Fatalf("no sign of life: %+v", out)
	}
	out = b.step(syncer.PageRead{Session: open.Session, End: true})
	a, ok := find[syncer.Answer](out)
	if end, is := a.Message.(*oplog.End); !ok || !is || !end.Cut || string(end.Cursor) != "k" || end.Pages != 1 {
		t.Errorf("%+v", out)
	}
}

// TestRepairThatAPersonAsksForIsSoon: what failed while the donors were away has
// made the pause long.
func TestRepairThatAPersonAsksForIsSoon(t *testing.T) {
	b := newBench(t)
	b.store.clock[origin], b.store.bad = 5, 1
	equal := b.store.Durable("orders")
	asked := func(d time.Duration) (n int) {
		for end := b.now.Add(d); b.now.Before(end); b.now = b.now.Add(time.Second) {
			if b.now.Second() == 0 {
				b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB), Wall: b.now.UnixMilli(), Digests: []oplog.Digest{equal}})
			}
			n += sent[*oplog.Parts](b.step(syncer.Tick{}))
		}
		return n
	}
	asked(20 * time.Minute) // nobody answers
	for asked(time.Second) == 0 {
	}
	if n := asked(40 * time.Second); n > 0 {
		t.Fatalf("asked %d times more: the pause is short", n)
	}
	b.step(syncer.RepairNow{Bucket: "orders"})
	b.step(syncer.Scrubbed{Bucket: "orders", Soon: true})
	if asked(10*time.Second) == 0 {
		t.Error("nobody is asked for the bad row")
	}
}

// TestDonorIsNotCutBeforeTheCursor: while it still counts the rows that the puller
// has, a cut would be no progress, and the next session would be cut there again.
func TestDonorIsNotCutBeforeTheCursor(t *testing.T) {
	b := newBenchWith(t, syncer.Options{CutAfter: time.Minute})
	b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB)})
	id := oplog.Session{ID: 8, Puller: nonceB, Donor: nonceA}
	ask := &oplog.Pull{Session: id, Bucket: "orders", Resume: true, Reconcile: true, Cursor: []byte("m")}
	open, _ := find[syncer.OpenSnapshot](b.hear("b", ask))
	b.step(syncer.SnapshotOpened{Session: open.Session})
	b.now = b.now.Add(time.Hour)
	for _, last := range []string{"c", "m"} {
		out := b.step(syncer.PageRead{Session: open.Session, Last: []byte(last)})
		if read, ok := find[syncer.ReadPage](out); !ok || read.Rest {
			t.Fatalf("after %q: %+v", last, out)
		}
	}
	out := b.step(syncer.PageRead{Session: open.Session, Last: []byte("n")})
	if read, ok := find[syncer.ReadPage](out); !ok || !read.Rest {
		t.Errorf("behind the cursor: %+v", out)
	}
}

// TestFailedScrubBacksOff: with a donor in mind, rows that cannot be read are not
// read again and again without a pause.
func TestFailedScrubBacksOff(t *testing.T) {
	b := newBench(t)
	digest := divergent(b)
	scrubs := 0
	for end := b.now.Add(10 * time.Minute); b.now.Before(end); b.now = b.now.Add(time.Second) {
		var out []syncer.Action
		if b.now.Second()%30 == 0 {
			out = b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB), Wall: b.now.UnixMilli(), Digests: []oplog.Digest{digest}})
		}
		out = append(out, b.step(syncer.Tick{})...)
		for s, ok := find[syncer.Scrub](out); ok && s.Soon; s, ok = find[syncer.Scrub](out) {
			scrubs++
			out = b.step(syncer.Scrubbed{Bucket: "orders", Soon: true, Err: errors.New("disk")})
		}
	}
	if scrubs < 2 || scrubs > 60 {
		t.Errorf("%d scrubs in ten minutes", scrubs)
	}
}
