package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// floored opens a store that lets only so many rows go on the word of one donor.
func floored(tb testing.TB, floor int) *store.Bucket {
	tb.Helper()
	return join(tb, flooredOn(tb, store.NewMap(), floor), "b")
}

func flooredOn(tb testing.TB, kv store.KV, floor int) *store.Store {
	tb.Helper()
	s, err := store.Open(kv, noon, store.Options{Node: "a", Nonce: nonce(1), Epoch: epochs(1), DoubtFloor: floor})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// TestReconcileOfManyRowsIsDoubted is C7: a donor that would have more than a
// tenth of the rows removed is not believed at once. What would go has to be
// accepted, and no more than that.
func TestReconcileOfManyRowsIsDoubted(t *testing.T) {
	const all, gone = 2500, 1500
	a, b := floored(t, -1), join(t, open(t, store.NewMap(), "b", 2), "b")
	for i := range all {
		write(t, a, noon.Add(-2*time.Hour), put(fmt.Sprintf("k-%04d", i), "1"))
	}
	pull(t, b, a, true, 1000)
	for i := range gone {
		write(t, b, noon.Add(-time.Hour), del(fmt.Sprintf("k-%04d", i)))
	}
	collect(t, b, noon, force())
	write(t, a, noon.Add(-90*time.Minute), put("ambiguous", "a")) // issued again, which removes nothing
	end := func(accept uint64) error {
		snap, err := b.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = snap.Close() }()
		st := store.Stretch{
			Clock: snap.Clock, GCTS: snap.GCTS, HLC: snap.HLC, Accept: store.Consent{Most: accept},
			Token: store.Token{Claim: snap.Clock, Rec: &store.Reconcile{GCV: snap.GCV, GCTS: snap.GCTS}},
		}
		for e, err := range snap.Rows(nil, nil) {
			if err != nil {
				t.Fatal(err)
			}
			st.Entries = append(st.Entries, e)
		}
		_, err = a.EndReconcile(noon, st, nil)
		return err
	}
	for _, accept := range []uint64{0, gone - 1} {
		doubt, ok := errors.AsType[*store.DoubtfulError](end(accept))
		if !ok || doubt.Removes != gone || doubt.Rows != all+1 {
			t.Fatalf("%d accepted: %+v", accept, doubt)
		}
		if !a.Reconciling() || a.Keys() != all+1 || a.Clock().GE(b.Clock()) {
			t.Fatalf("%d accepted: reconciling %v, %d rows", accept, a.Reconciling(), a.Keys())
		}
		check(t, a)
	}
	if err := end(gone); err != nil {
		t.Fatal(err)
	}
	if a.Reconciling() || a.Keys() != all-gone+1 || !a.Clock().GE(b.Clock()) {
		t.Errorf("reconciling %v, %d rows", a.Reconciling(), a.Keys())
	}
	check(t, a)
}

// TestFewRemovalsAreNotDoubted: up to the floor, whatever their share; what was
// deleted here, or overwritten since it was judged, is none.
func TestFewRemovalsAreNotDoubted(t *testing.T) {
	for _, floor := range []int{3, 2} {
		t.Run(fmt.Sprint("floor ", floor), func(t *testing.T) {
			a, b := floored(t, floor), join(t, open(t, store.NewMap(), "b", 2), "b")
			for _, key := range []string{"k1", "k2", "k3", "k4", "t1", "t2"} {
				write(t, a, noon.Add(-2*time.Hour), put(key, "1"))
			}
			for _, key := range []string{"t1", "t2"} {
				write(t, a, noon.Add(-2*time.Hour), del(key))
			}
			pull(t, b, a, true, 1000)
			for _, key := range []string{"k1", "k2", "k3", "k4"} {
				write(t, b, noon.Add(-time.Hour), del(key))
			}
			collect(t, b, noon, force())
			snap, err := b.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = snap.Close() }()
			st := wholeOf(snap)
			st.Accept, st.Token.Cursor = store.Consent{}, []byte("z")
			if _, err := a.Compare(noon, st); err != nil {
				t.Fatal(err)
			}
			write(t, a, noon, put("k4", "new"))
			st.After = st.Token.Cursor
			_, err = a.EndReconcile(noon, st, nil)
			if _, doubted := errors.AsType[*store.DoubtfulError](err); doubted != (floor < 3) || err != nil && !doubted {
				t.Fatal(err)
			}
			if value(t, a, "k4") != "new" || (value(t, a, "k1") == "-") == (floor < 3) {
				t.Errorf("k4 %q, k1 %q", value(t, a, "k4"), value(t, a, "k1"))
			}
			check(t, a)
		})
	}
}

// TestDoubtSurvivesARestart: what would be removed waits on the disk, and is
// carried out by whoever accepts it.
func TestDoubtSurvivesARestart(t *testing.T) {
	kv := store.NewMap()
	s := flooredOn(t, kv, -1)
	a := join(t, s, "b")
	snap := deletedElsewhere(t, a, 20)
	st := wholeOf(snap)
	st.Accept = store.Consent{}
	doubt := new(store.DoubtfulError)
	if _, err := a.EndReconcile(noon, st, nil); !errors.As(err, &doubt) {
		t.Fatal(err)
	}
	again, ok := flooredOn(t, kv, -1).Bucket("b")
	if !ok || !again.Reconciling() || again.Keys() != 20 {
		t.Fatalf("reconciling %v, %d rows", again.Reconciling(), again.Keys())
	}
	tok, _, err := again.Token()
	if err != nil {
		t.Fatal(err)
	}
	st = store.Stretch{After: tok.Cursor, Token: tok, Clock: oplog.Clock{}, Accept: store.Consent{Most: 20}}
	if _, err := again.EndReconcile(noon, st, nil); err != nil {
		t.Fatal(err)
	}
	if again.Reconciling() || again.Keys() != 0 {
		t.Errorf("reconciling %v, %d rows", again.Reconciling(), again.Keys())
	}
	check(t, again)
}

func openPolicy(t *testing.T, kv store.KV, node string, p store.Policy) *store.Bucket {
	t.Helper()
	s, err := store.Open(kv, noon, store.Options{Node: node, Nonce: nonce(500), Epoch: epochs(50), Ambiguous: p})
	if err != nil {
		t.Fatal(err)
	}
	return join(t, s, "b")
}

// TestWhatThePolicyDeletesIsDoubtedToo: no single donor takes any number of rows from
// readers.
func TestWhatThePolicyDeletesIsDoubtedToo(t *testing.T) {
	for _, policy := range []store.Policy{store.Park, store.Delete} {
		a := openPolicy(t, store.NewMap(), "a", policy)
		b := join(t, open(t, store.NewMap(), "b", 2), "b")
		const n = 3000
		for i := range n {
			write(t, a, noon, put(fmt.Sprintf("own-%04d", i), "v"))
		}
		write(t, b, noon.Add(time.Hour), put("gone", "v"), del("gone"))
		collect(t, b, noon.Add(2*time.Hour), force())
		snap, err := b.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.EndReconcile(noon, store.Stretch{
			Clock: snap.Clock, GCTS: snap.GCTS, HLC: snap.HLC,
			Token: store.Token{Claim: snap.Clock, Rec: &store.Reconcile{GCV: snap.GCV, GCTS: snap.GCTS}},
		}, nil)
		_ = snap.Close()
		if doubt, ok := errors.AsType[*store.DoubtfulError](err); !ok || doubt.Removes != n || a.Keys() != n {
			t.Errorf("policy %s: %v; %d of %d rows left", policy, err, a.Keys(), n)
		}
	}
}

// deletedElsewhere writes 20 rows at a, has another take them, delete so many and collect
// the deletes, and returns what that one has then.
func deletedElsewhere(t *testing.T, a *store.Bucket, deleted int) *store.Snapshot {
	t.Helper()
	b := join(t, open(t, store.NewMap(), "b", 2), "b")
	for i := range 20 {
		write(t, a, noon.Add(-2*time.Hour), put(fmt.Sprint("k", i), "1"))
	}
	pull(t, b, a, true, 1000)
	for i := range deleted {
		write(t, b, noon.Add(-time.Hour), del(fmt.Sprint("k", i)))
	}
	collect(t, b, noon, force())
	snap, err := b.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = snap.Close() })
	return snap
}

// TestConsentNamesRows: that another donor would remove as many rows is no consent to
// these.
func TestConsentNamesRows(t *testing.T) {
	a := floored(t, -1)
	snap := deletedElsewhere(t, a, 10)
	end := func(c store.Consent) error {
		st := wholeOf(snap)
		st.Accept = c
		for e, err := range snap.Rows(nil, nil) {
			if err != nil {
				t.Fatal(err)
			}
			st.Entries = append(st.Entries, e)
		}
		_, err := a.EndReconcile(noon, st, nil)
		return err
	}
	doubt, ok := errors.AsType[*store.DoubtfulError](end(store.Consent{}))
	if !ok || len(doubt.Going) != 10 || !slices.IsSorted(doubt.Going) {
		t.Fatalf("%+v", doubt)
	}
	others := make([]uint64, 10)
	for i, h := range doubt.Going {
		others[i] = h + 1
	}
	slices.Sort(others)
	for _, c := range []store.Consent{{Rows: others}, {Rows: doubt.Going[:7]}, {Most: 7}} {
		if _, ok := errors.AsType[*store.DoubtfulError](end(c)); !ok || a.Keys() != 20 {
			t.Errorf("%d rows agreed on, %d by number: %d rows left", len(c.Rows), c.Most, a.Keys())
		}
	}
	if err := end(store.Consent{Rows: doubt.Going}); err != nil || a.Keys() != 10 {
		t.Errorf("%v, %d rows left", err, a.Keys())
	}
}
