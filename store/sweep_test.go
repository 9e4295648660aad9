package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// A hookedKV lets something happen before each commit.
type hookedKV struct {
	*store.Map
	before func()
}

func (kv *hookedKV) Commit(b store.Batch) error {
	if kv.before != nil {
		kv.before()
	}
	return kv.Map.Commit(b)
}

// halfSwept returns a bucket a whose disk filled up while the verdicts of a
// reconcile with b were carried out, and has room again.
func halfSwept(t *testing.T) (kv *hookedKV, a, b *store.Bucket) {
	t.Helper()
	const n = 2500
	kv = &hookedKV{Map: store.NewMap()}
	s := open(t, kv, "a", 1)
	a, b = join(t, s, "b"), join(t, open(t, store.NewMap(), "b", 2), "b")
	for i := range n {
		write(t, a, noon.Add(-2*time.Hour), put(fmt.Sprintf("del-%04d", i), "1"))
	}
	pull(t, b, a, true, 1000)
	for i := range n {
		write(t, b, noon.Add(-time.Hour), del(fmt.Sprintf("del-%04d", i)))
	}
	collect(t, b, noon, force())
	write(t, a, noon.Add(-90*time.Minute), put("ambiguous", "a"))

	full := errors.New("full")
	commits := 0
	kv.before = func() {
		if commits++; commits == 4 { // three batches compare the rows, the fourth is the first of the sweep
			s.SetReadOnly(full)
		}
	}
	snap, err := b.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	st := wholeOf(snap)
	if _, err := a.EndReconcile(noon, st, nil); !errors.Is(err, full) {
		t.Fatalf("swept with %v", err)
	}
	kv.before = nil
	s.ClearReadOnly()
	if left := a.Keys(); left == 0 || left > n {
		t.Fatalf("%d rows are left", left)
	}
	return kv, a, b
}

// wholeOf is the one stretch of a reconcile with a donor that has no rows.
func wholeOf(snap *store.Snapshot) store.Stretch {
	return store.Stretch{
		Clock: snap.Clock, GCTS: snap.GCTS, HLC: snap.HLC, Accept: store.Consent{Most: 1 << 20},
		Token: store.Token{Claim: snap.Clock, Rec: &store.Reconcile{GCV: snap.GCV, GCTS: snap.GCTS}},
	}
}

// TestSweepGoesOnAfterAFullDisk: the next session, whatever it brings, ends a
// reconcile that was broken off while its verdicts were carried out. None of
// them may get lost, for the clock moves over what they stand for.
func TestSweepGoesOnAfterAFullDisk(t *testing.T) {
	for name, next := range map[string]func(a *store.Bucket, st store.Stretch) error{
		"end": func(a *store.Bucket, st store.Stretch) error {
			_, err := a.EndReconcile(noon, st, nil)
			return err
		},
		"page": func(a *store.Bucket, st store.Stretch) error {
			st.Token.Cursor = []byte("m")
			_, err := a.Compare(noon, st)
			return err
		},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s restart %v", name, restart), func(t *testing.T) {
				kv, a, b := halfSwept(t)
				snap, err := b.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = snap.Close() }()
				if err := next(a, wholeOf(snap)); err != nil && !errors.Is(err, store.ErrOutOfOrder) {
					t.Fatal(err)
				}
				if restart {
					again, _ := open(t, kv, "a", 3).Bucket("b")
					a = again
				}
				if a.Reconciling() || value(t, a, "ambiguous") != "a" || a.Keys() != 1 {
					t.Errorf("reconciling %v, %d rows left, the clock covers the donor's: %v", a.Reconciling(), a.Keys(), a.Clock().GE(b.Clock()))
				}
				check(t, a)
				w := write(t, b, noon, put("live", "1"))
				if _, err := a.ApplyLive(noon, []*oplog.Live{live(w)}); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestReconcileOfLargeRowsTakesManyBatches: what is in memory at once is bounded
// in bytes, too.
func TestReconcileOfLargeRowsTakesManyBatches(t *testing.T) {
	kv := &hookedKV{Map: store.NewMap()}
	a, b := join(t, open(t, kv, "a", 1), "b"), join(t, open(t, store.NewMap(), "b", 2), "b")
	for i := range 12 {
		write(t, a, noon.Add(-2*time.Hour), store.Op{Key: fmt.Appendf(nil, "del-%02d", i), Value: make([]byte, 3<<20)})
	}
	pull(t, b, a, true, 1)
	for i := range 12 {
		write(t, b, noon.Add(-time.Hour), del(fmt.Sprintf("del-%02d", i)))
	}
	collect(t, b, noon, force())
	commits := 0
	kv.before = func() { commits++ }
	snap, err := b.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	applied, err := a.EndReconcile(noon, wholeOf(snap), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(applied.Changes) != 12 || a.Keys() != 0 {
		t.Errorf("%d changes, %d rows left", len(applied.Changes), a.Keys())
	}
	if commits < 8 { // of three rows each, compared and removed
		t.Errorf("36 MiB in %d batches", commits)
	}
	check(t, a)
}
