package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// reconcile brings a to where from stands, in stretches of size rows. cut, if
// not negative, ends it after so many rows; it reports where it ended.
func reconcile(tb testing.TB, a, from *store.Bucket, size, cut int) (store.Applied, bool) {
	tb.Helper()
	return reconcileAt(tb, noon, a, from, size, cut)
}

func reconcileAt(tb testing.TB, now time.Time, a, from *store.Bucket, size, cut int) (store.Applied, bool) {
	tb.Helper()
	sum, done := reconcileRotten(tb, now, a, from, size, cut)
	if done {
		check(tb, a)
	}
	return sum, done
}

// reconcileRotten is reconcileAt for a store that may hold bad rows.
func reconcileRotten(tb testing.TB, now time.Time, a, from *store.Bucket, size, cut int) (store.Applied, bool) {
	tb.Helper()
	snap, err := from.Snapshot()
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	tok := store.Token{Claim: snap.Clock, Rec: &store.Reconcile{GCV: snap.GCV, GCTS: snap.GCTS}}
	var after []byte
	if old, ok, err := a.Token(); err != nil {
		tb.Fatal(err)
	} else if ok && old.Rec != nil {
		claim, gate := old.Claim.Meet(snap.Clock), old.Rec.GCV.Clone()
		gate.Join(snap.GCV)
		if claim.GE(gate) { // C4
			after = old.Cursor
			tok = store.Token{Claim: claim, Rec: &store.Reconcile{GCV: gate, GCTS: max(old.Rec.GCTS, snap.GCTS)}}
		}
	}
	st := store.Stretch{Clock: snap.Clock, GCTS: snap.GCTS, HLC: snap.HLC, Accept: store.Consent{Most: 1 << 20}}
	var sum store.Applied
	add := func(a store.Applied, err error) {
		if err != nil {
			tb.Fatal(err)
		}
		sum.Changes = append(sum.Changes, a.Changes...)
		sum.Ambiguous = append(sum.Ambiguous, a.Ambiguous...)
		sum.Reissued.Entries = append(sum.Reissued.Entries, a.Reissued.Entries...)
	}
	for list := all(tb, snap.Rows(nil, after)); len(list) > 0; {
		n := min(size, len(list))
		if cut >= 0 {
			if n = min(n, cut); n == 0 {
				return sum, false
			}
			cut -= n
		}
		st.After, st.Entries, st.Token = after, list[:n], tok
		st.Token.Cursor = list[n-1].Key
		add(a.Compare(now, st))
		after, list = list[n-1].Key, list[n:]
	}
	if cut == 0 {
		return sum, false
	}
	st.After, st.Entries, st.Token = after, nil, tok
	add(a.EndReconcile(now, st, snap.Ahead))
	return sum, true
}

// equalLive fails unless both buckets show readers the same rows.
func equalLive(tb testing.TB, a, b *store.Bucket) {
	tb.Helper()
	show := func(b *store.Bucket) []string {
		var list []string
		for _, e := range all(tb, b.Scan(store.ScanOptions{Now: noon})) {
			list = append(list, fmt.Sprintf("%s=%s@%s", e.Key, e.Value, e.Stamp))
		}
		return list
	}
	if one, other := show(a), show(b); !slices.Equal(one, other) {
		tb.Errorf("%q\n and %q", one, other)
	}
}

// evicted returns a bucket a that was away while b deleted del-0 to del-n-1 and
// collected the tombstones. Both have kept-0 to kept-n-1.
func evicted(tb testing.TB, n int) (a, b *store.Bucket) {
	tb.Helper()
	a, b = join(tb, open(tb, store.NewMap(), "a", 1), "b"), join(tb, open(tb, store.NewMap(), "b", 2), "b")
	for i := range n {
		write(tb, a, noon.Add(-2*time.Hour), put(fmt.Sprintf("del-%04d", i), "1"), put(fmt.Sprintf("kept-%04d", i), "1"))
	}
	pull(tb, b, a, true, 1000)
	for i := range n {
		write(tb, b, noon.Add(-time.Hour), del(fmt.Sprintf("del-%04d", i)))
	}
	collect(tb, b, noon, force())
	return a, b
}

// TestReconcile holds scenarios 19 and 23 to 25: what was deleted goes, what
// nobody saw stays, what may have been deleted is written anew.
func TestReconcile(t *testing.T) {
	for _, cut := range []int{-1, 0, 1, 2, 3, 4} {
		t.Run(fmt.Sprint("cut ", cut), func(t *testing.T) {
			a, b := evicted(t, 3)
			write(t, a, noon.Add(-90*time.Minute), put("ambiguous", "a"), put("del-0001", "again"))
			write(t, a, noon, put("unseen", "a"), del("kept-0000"))
			write(t, b, noon, put("new", "b"))
			if cut >= 0 {
				if _, whole := reconcile(t, a, b, 2, cut); whole {
					t.Fatal("not cut")
				}
				if !a.Clock().GE(oplog.Clock{}) || value(t, a, "del-0000") != "1" {
					t.Fatal("something was done before all was compared")
				}
				write(t, b, noon, put("later", "b"), del("kept-0002"))
			}
			applied, _ := reconcile(t, a, b, 2, -1)
			if len(applied.Ambiguous) != 2 || len(applied.Reissued.Entries) != 2 {
				t.Errorf("%d writes were issued again, want 2", len(applied.Ambiguous))
			}
			for key, want := range map[string]string{
				"del-0000": "-", "del-0001": "again", "del-0002": "-", "kept-0000": "-", "kept-0001": "1",
				"ambiguous": "a", "unseen": "a", "new": "b",
			} {
				if got := value(t, a, key); got != want {
					t.Errorf("%s is %q, want %q", key, got, want)
				}
			}
			pull(t, a, b, false, 2)
			pull(t, b, a, false, 2)
			equalLive(t, a, b)
			check(t, b)
			if !a.Clock().Equal(b.Clock()) || len(a.Ahead()) > 0 || a.Digest().Sum != b.Digest().Sum {
				t.Errorf("%+v and %+v", a.Digest(), b.Digest())
			}
		})
	}
}

// TestBootstrapOfAnEmptyNode is R3: nothing to judge.
func TestBootstrapOfAnEmptyNode(t *testing.T) {
	_, b := evicted(t, 5)
	empty := join(t, open(t, store.NewMap(), "c", 3), "b")
	applied, _ := reconcile(t, empty, b, 3, -1)
	if len(applied.Ambiguous) > 0 || !empty.Clock().Equal(b.Clock()) {
		t.Errorf("%d ambiguous, clock %v, want %v", len(applied.Ambiguous), empty.Clock(), b.Clock())
	}
	equalLive(t, empty, b)
	if w := write(t, empty, noon.Add(-24*time.Hour), put("del-0000", "new")); w.Entries[0].Stamp.HLC <= oplog.HLCAt(noon.Add(-time.Hour)) {
		t.Error("a key that was deleted is written with an older timestamp")
	}
}

// TestReconcileTakesTheDonorsOlderRow: its clock covers ours, so it had it and
// dropped it, and what it holds now is all there is. Rule C2.
func TestReconcileTakesTheDonorsOlderRow(t *testing.T) {
	a := join(t, open(t, store.NewMap(), "a", 1), "b")
	w := write(t, a, noon, put("k", "newer"))
	x := oplog.Origin{Node: "x", Epoch: 9}
	older := oplog.Entry{Key: []byte("k"), Value: []byte("older"), Stamp: oplog.Stamp{HLC: oplog.HLCAt(noon.Add(-time.Minute)), Origin: x, Seq: 1}}
	clock := oplog.Clock{w.Origin: w.Last, x: 1}
	st := store.Stretch{Clock: clock, Token: store.Token{Claim: clock, Cursor: []byte("k"), Rec: &store.Reconcile{}}, Entries: []oplog.Entry{older}}
	if _, err := a.Compare(noon, st); err != nil {
		t.Fatal(err)
	}
	st.After, st.Entries = []byte("k"), nil
	if _, err := a.EndReconcile(noon, st, nil); err != nil {
		t.Fatal(err)
	}
	if got := value(t, a, "k"); got != "older" {
		t.Errorf("k is %q", got)
	}
	check(t, a)
}

// TestReconcileLeavesWhatWasWrittenMeanwhile is scenario 28.
func TestReconcileLeavesWhatWasWrittenMeanwhile(t *testing.T) {
	a, b := evicted(t, 3)
	behind := noon.Add(-2 * time.Hour) // so far that the own clock cannot follow the donor's
	reconcileAt(t, behind, a, b, 2, 2)
	w := write(t, a, behind, put("del-0000", "new")) // over a row that was deleted
	reconcileAt(t, behind, a, b, 2, -1)
	if got := value(t, a, "del-0000"); got != "new" {
		t.Errorf("what was written meanwhile is %q", got)
	}
	if s := w.Entries[0].Stamp; s.HLC <= a.Guard() {
		t.Errorf("%s is below the guard %s: it may be taken for a write that was deleted", s, a.Guard())
	}
}

// TestReconcileWithAWorsePeerStartsOver is C4 and scenario 27.
func TestReconcileWithAWorsePeerStartsOver(t *testing.T) {
	a, b := evicted(t, 3)
	worse := join(t, open(t, store.NewMap(), "c", 3), "b")
	pull(t, worse, a, true, 10)
	reconcile(t, a, b, 2, 2)
	if _, whole := reconcile(t, a, worse, 2, -1); !whole {
		t.Fatal("not whole")
	}
	if a.Reconciling() || value(t, a, "del-0000") != "1" {
		t.Error("verdicts of the better peer were carried out under the claim of the worse")
	}
	reconcile(t, a, b, 2, -1)
	pull(t, a, b, false, 10)
	pull(t, b, a, false, 10)
	equalLive(t, a, b)
}

// TestSweepSurvivesACrash cuts the disk off after every commit of a reconcile
// with more verdicts than one batch holds.
func TestSweepSurvivesACrash(t *testing.T) {
	const n = 2500
	m := store.NewMap()
	a, b := join(t, open(t, m, "a", 1), "b"), join(t, open(t, store.NewMap(), "b", 2), "b")
	for i := range n {
		write(t, a, noon.Add(-2*time.Hour), put(fmt.Sprintf("del-%04d", i), "1"))
	}
	pull(t, b, a, true, 1000)
	for i := range n {
		write(t, b, noon.Add(-time.Hour), del(fmt.Sprintf("del-%04d", i)))
	}
	collect(t, b, noon, force())
	write(t, a, noon.Add(-90*time.Minute), put("ambiguous", "a"))
	if err := m.Sync(); err != nil {
		t.Fatal(err)
	}
	disk := m.Clone()
	reconcile(t, a, b, 1000, -1)
	commits := m.UnsyncedCommits()
	if commits < 6 {
		t.Fatalf("only %d commits", commits)
	}
	halves := 0
	for keep := range commits {
		crashed := disk.Clone()
		s := open(t, crashed, "a", 3)
		again, _ := s.Bucket("b")
		if err := crashed.Sync(); err != nil {
			t.Fatal(err)
		}
		reconcile(t, again, b, 1000, -1)
		crashed.Crash(keep)
		s = open(t, crashed, "a", 4)
		after, _ := s.Bucket("b")
		check(t, after)
		left := len(rows(t, after))
		if left > 1 && left < n {
			halves++
		}
		if !after.Reconciling() && left > 1 && after.Clock().GE(b.Clock()) {
			t.Errorf("crash after %d commits: %d rows left, but the clock has moved", keep, left)
		}
		reconcile(t, after, b, 1000, -1)
		if got := value(t, after, "ambiguous"); got != "a" || len(rows(t, after)) != 1 {
			t.Errorf("crash after %d commits: ambiguous is %q, %d rows", keep, got, len(rows(t, after)))
		}
		pull(t, after, b, false, 1000)
		if !after.Clock().GE(b.Clock()) {
			t.Errorf("crash after %d commits: clock %v, want %v", keep, after.Clock(), b.Clock())
		}
	}
	if halves > 0 {
		t.Errorf("%d restarts show half a sweep", halves)
	}
}

// TestNothingElseComesInWhileReconciling is rule C1.
func TestNothingElseComesInWhileReconciling(t *testing.T) {
	a, b := evicted(t, 3)
	reconcile(t, a, b, 2, 2)
	w := write(t, b, noon, put("live", "1"))
	_, liveErr := a.ApplyLive(noon, []*oplog.Live{live(w)})
	_, pageErr := a.ApplyPage(noon, w.Entries, nil)
	endErr := a.EndPull(noon, b.Clock(), nil)
	for what, err := range map[string]error{"live": liveErr, "page": pageErr, "end": endErr} {
		if !errors.Is(err, store.ErrReconciling) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if c, err := a.Collect(noon, force()); err != nil || c.Tombstones > 0 {
		t.Errorf("collected %+v, %v", c, err)
	}
	write(t, a, noon, put("own", "1"))
}

// TestReconcileRefusesAGuardAtTheEndOfTime: no later timestamp would be left for
// what has to be written above it.
func TestReconcileRefusesAGuardAtTheEndOfTime(t *testing.T) {
	for _, gcts := range []oplog.HLC{1<<64 - 1, 1<<64 - 1<<32} {
		a := join(t, open(t, store.NewMap(), "a", 1), "b")
		x := oplog.Origin{Node: "x", Epoch: 9}
		_, err := a.EndReconcile(noon, store.Stretch{
			Clock: oplog.Clock{x: 1}, GCTS: gcts,
			Token: store.Token{Claim: oplog.Clock{x: 1}, Rec: &store.Reconcile{GCV: oplog.Clock{x: 1}, GCTS: gcts}},
		}, nil)
		if _, malformed := errors.AsType[*store.MalformedError](err); !malformed || a.Reconciling() {
			t.Errorf("%s: %v", gcts, err)
		}
		write(t, a, noon, put("own", "1"))
		e := oplog.Entry{Key: []byte("k"), Value: []byte("v"), Stamp: oplog.Stamp{HLC: oplog.HLCAt(noon), Origin: x, Seq: 2}}
		if _, err := a.ApplyPage(noon, []oplog.Entry{e}, nil); err != nil {
			t.Error(err)
		}
		check(t, a)
	}
}

// TestRottenVerdictStartsOver: what is dropped is not read.
func TestRottenVerdictStartsOver(t *testing.T) {
	const tableStage = 0x1b
	kv := store.NewMap()
	a, b := join(t, open(t, kv, "a", 1), "b"), join(t, open(t, store.NewMap(), "b", 2), "b")
	write(t, a, noon, put("k1", "v"), put("k2", "v"), put("k9", "v"))
	pull(t, b, a, true, 10)
	write(t, b, noon, del("k1"))
	collect(t, b, noon.Add(time.Minute), force())
	if _, done := reconcileRotten(t, noon, a, b, 1, 1); done {
		t.Fatal("nothing is left to do")
	}
	it, err := kv.Iter([]byte{tableStage}, []byte{tableStage + 1})
	if err != nil || !it.First() {
		t.Fatalf("nothing is noted: %v", err)
	}
	batch := kv.NewBatch()
	batch.Set(bytes.Clone(it.Key()), append([]byte{99}, it.Value()[1:]...))
	if err := errors.Join(it.Close(), kv.Commit(batch)); err != nil {
		t.Fatal(err)
	}
	snap, err := b.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	st := wholeOf(snap) // from the first key on
	st.Entries = all(t, snap.Rows(nil, nil))
	if _, err := a.EndReconcile(noon, st, nil); err != nil {
		t.Fatal(err)
	}
	if a.Reconciling() || value(t, a, "k1") != "-" || value(t, a, "k2") != "v" {
		t.Errorf("reconciling %v, k1 %q, k2 %q", a.Reconciling(), value(t, a, "k1"), value(t, a, "k2"))
	}
}
