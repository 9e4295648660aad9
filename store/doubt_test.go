package store_test

import (
	"errors"
	"fmt"
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
			Clock: snap.Clock, GCTS: snap.GCTS, HLC: snap.HLC, Accept: accept,
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
	for _, accept := range []uint64{0, gone - (all+1)/10 - 1} {
		doubt, ok := errors.AsType[*store.DoubtfulError](end(accept))
		if !ok || doubt.Removes != gone || doubt.Rows != all+1 {
			t.Fatalf("%d accepted: %+v", accept, doubt)
		}
		if !a.Reconciling() || a.Keys() != all+1 || a.Clock().GE(b.Clock()) {
			t.Fatalf("%d accepted: reconciling %v, %d rows", accept, a.Reconciling(), a.Keys())
		}
		check(t, a)
	}
	if err := end(gone - (all+1)/10); err != nil {
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
			st.Accept, st.Token.Cursor = 0, []byte("z")
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
	a, b := join(t, s, "b"), join(t, open(t, store.NewMap(), "b", 2), "b")
	for i := range 20 {
		write(t, a, noon.Add(-2*time.Hour), put(fmt.Sprint("k", i), "1"))
	}
	pull(t, b, a, true, 1000)
	for i := range 20 {
		write(t, b, noon.Add(-time.Hour), del(fmt.Sprint("k", i)))
	}
	collect(t, b, noon, force())
	snap, err := b.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	st := wholeOf(snap)
	st.Accept = 0
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
	st = store.Stretch{After: tok.Cursor, Token: tok, Clock: oplog.Clock{}, Accept: 20}
	if _, err := again.EndReconcile(noon, st, nil); err != nil {
		t.Fatal(err)
	}
	if again.Reconciling() || again.Keys() != 0 {
		t.Errorf("reconciling %v, %d rows", again.Reconciling(), again.Keys())
	}
	check(t, again)
}
