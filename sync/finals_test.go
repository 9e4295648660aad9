package syncer_test

import (
	"testing"
	"time"

	"replicator/oplog"
	syncer "replicator/sync"
)

var (
	ended  = oplog.Origin{Node: "b", Epoch: 3}
	finals = map[string]oplog.Clock{"orders": {ended: 9}}
)

// begins has b pull with the hash of its list, and returns what it is answered.
func (b *bench) begins(list uint64, clock oplog.Clock) *oplog.Begin {
	b.t.Helper()
	s := oplog.Session{ID: 3, Puller: nonceB, Donor: nonceA}
	out := b.hear("b", &oplog.Pull{Session: s, Bucket: "orders", Clock: oplog.Clock{}, Finals: list})
	open, ok := find[syncer.OpenSnapshot](out)
	if !ok {
		b.t.Fatalf("no snapshot: %#v", out)
	}
	a, _ := find[syncer.Answer](b.step(syncer.SnapshotOpened{Session: open.Session, Clock: clock, Rows: 1}))
	begin, ok := a.Message.(*oplog.Begin)
	if !ok {
		b.t.Fatalf("answered with %#v", a.Message)
	}
	b.hear("b", &oplog.Abort{Session: s, Bucket: "orders", Reason: oplog.ReasonFailed})
	return begin
}

// TestClockIsFoldedForTheSameListOnly is rule I5: a row that is left out must not
// stand for what the donor lacks, nor be unknown to the puller.
func TestClockIsFoldedForTheSameListOnly(t *testing.T) {
	b := newBenchWith(t, syncer.Options{Finals: finals})
	list := oplog.HashFinals(finals)
	for name, tt := range map[string]struct {
		list   uint64
		clock  oplog.Clock
		folded bool
	}{
		"same list":       {list, oplog.Clock{ended: 9, origin: 2}, true},
		"above the final": {list, oplog.Clock{ended: 10, origin: 2}, true},
		"below the final": {list, oplog.Clock{ended: 8, origin: 2}, false},
		"no row of it":    {list, oplog.Clock{origin: 2}, false},
		"another list":    {list + 1, oplog.Clock{ended: 9, origin: 2}, false},
		"no list":         {0, oplog.Clock{ended: 9, origin: 2}, false},
	} {
		m := b.begins(tt.list, tt.clock)
		if m.Folded != tt.folded || !tt.folded && !m.Clock.Equal(tt.clock) || tt.folded && !m.Clock.Unfold(finals["orders"]).Equal(tt.clock) {
			t.Errorf("%s: folded %v, clock %v", name, m.Folded, m.Clock)
		}
	}
	if m := b.begins(list, oplog.Clock{ended: 9, origin: 2}); len(m.Clock) != 1 {
		t.Errorf("the final travels: %v", m.Clock)
	}
	b.step(syncer.Finals{Clocks: map[string]oplog.Clock{}})
	if m := b.begins(list, oplog.Clock{ended: 9}); m.Folded {
		t.Error("folded by a list of before")
	}
}

// TestFoldedClaimIsUnfolded by the list that the pull named, whatever came since.
func TestFoldedClaimIsUnfolded(t *testing.T) {
	b := newBenchWith(t, syncer.Options{Finals: finals})
	s := b.pulls()
	b.step(syncer.Finals{Clocks: map[string]oplog.Clock{}})
	b.hear("", &oplog.Begin{Session: s, KeyOrder: true, Clock: oplog.Clock{origin: 2}, Folded: true})
	end, ok := find[syncer.EndPull](b.hear("", &oplog.End{Session: s}))
	if want := (oplog.Clock{origin: 2, ended: 9}); !ok || !end.Claim.Equal(want) {
		t.Errorf("claims %v, want %v", end.Claim, want)
	}
}

// TestReportFoldedByAnotherListIsNone: it says less than it seems to.
func TestReportFoldedByAnotherListIsNone(t *testing.T) {
	b := newBenchWith(t, syncer.Options{Finals: finals})
	b.store.clock, b.store.collectable = oplog.Clock{origin: 5, ended: 9}, true
	report := func(list uint64) {
		from := instance("b", nonceB)
		from.Finals = list
		b.hear("b", &oplog.Report{From: from, Bucket: "orders", Clock: oplog.Clock{origin: 3}, Floor: 70, Folded: true})
	}
	other := oplog.Digest{Bucket: "orders", Clock: 99, Floor: 70}
	b.beats(time.Minute, other)
	report(oplog.HashFinals(finals) + 1)
	if _, ok := find[syncer.Collect](b.beats(2*time.Minute, other)); ok {
		t.Error("a report that cannot be read counts")
	}
	report(oplog.HashFinals(finals))
	c, ok := find[syncer.Collect](b.beats(2*time.Minute, other))
	if want := (oplog.Clock{origin: 3, ended: 9}); !ok || !c.Stable.Equal(want) {
		t.Errorf("stable is %v, want %v", c.Stable, want)
	}
}

// TestListIsNoNews: a claim has as many rows as there is news, folded or not.
func TestListIsNoNews(t *testing.T) {
	list := map[string]oplog.Clock{"orders": {}}
	for i := range 5000 {
		list["orders"][oplog.Origin{Node: "old", Epoch: uint64(i) + 1}] = 3
	}
	b := newBenchWith(t, syncer.Options{Finals: list, CompareAbove: 1 << 20})
	b.store.clock = list["orders"].Clone()
	s := b.pulls()
	b.hear("", &oplog.Begin{Session: s, KeyOrder: true, Clock: oplog.Clock{}, Folded: true})
	end, ok := find[syncer.EndPull](b.hear("", &oplog.End{Session: s}))
	if !ok || len(end.Claim) > 0 {
		t.Errorf("ended %v, and claims %d rows, none of them news", ok, len(end.Claim))
	}
}
