package replicator_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"replicator"
)

// TestLocalConditions: create and update hold on the node that takes them, and say
// what is there if they do not.
func TestLocalConditions(t *testing.T) {
	s := startServer(t)
	b := bucket(t, open(t, s.ClientURL(), short("a", "")))
	ctx, key := t.Context(), []byte("k")
	first, err := b.CreateLocal(ctx, key, []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.CreateLocal(ctx, key, []byte("2"))
	if e, ok := errors.AsType[*replicator.RevisionError](err); !ok || !e.Absent || e.Current != first.Dot() {
		t.Errorf("created twice: %v", err)
	}
	second, err := b.UpdateLocal(ctx, key, []byte("2"), first.Dot())
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.UpdateLocal(ctx, key, []byte("3"), first.Dot())
	if e, ok := errors.AsType[*replicator.RevisionError](err); !ok || e.Current != second.Dot() || e.Wanted != first.Dot() {
		t.Errorf("updated an old revision: %v", err)
	}
	_, err = b.UpdateLocal(ctx, key, []byte("3"), replicator.Revision{})
	refused[*replicator.RevisionError](t, err)
	_, err = b.UpdateLocal(ctx, []byte("none"), []byte("3"), replicator.Revision{})
	refused[*replicator.RevisionError](t, err)
	_, err = b.DeleteLocal(ctx, key, first.Dot())
	refused[*replicator.RevisionError](t, err)
	if !has(b, "k", "2")() {
		t.Error("what was refused has changed the row")
	}
	if _, err := b.DeleteLocal(ctx, key, second.Dot()); err != nil {
		t.Error(err)
	}
	if _, err := b.CreateLocal(ctx, key, []byte("again")); err != nil {
		t.Errorf("created behind a delete: %v", err)
	}
}

// TestBatchWithAConditionIsAllOrNothing.
func TestBatchWithAConditionIsAllOrNothing(t *testing.T) {
	s := startServer(t)
	b := bucket(t, open(t, s.ClientURL(), short("a", "")))
	held, err := b.Put(t.Context(), []byte("held"), []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Batch(t.Context(),
		replicator.Op{Key: []byte("x"), Value: []byte("1")},
		replicator.Op{Key: []byte("held"), Value: []byte("2"), PutOptions: replicator.PutOptions{If: replicator.IfAbsentLocal()}},
	); err == nil || !gone(b, "x")() || !has(b, "held", "1")() {
		t.Errorf("a batch with a condition that does not hold: %v", err)
	}
	entries, err := b.Batch(t.Context(),
		replicator.Op{Key: []byte("x"), Value: []byte("1")},
		replicator.Op{Key: []byte("held"), Delete: true, PutOptions: replicator.PutOptions{If: replicator.IfRevisionLocal(held.Dot())}},
	)
	if err != nil || len(entries) != 2 || !has(b, "x", "1")() || !gone(b, "held")() {
		t.Errorf("%v, %v", entries, err)
	}
}

// TestExpiredRowsAreHidden on every node by its own clock, and may be created again.
func TestExpiredRowsAreHidden(t *testing.T) {
	s := startServer(t)
	a, b := open(t, s.ClientURL(), short("a", "")), open(t, s.ClientURL(), short("b", ""))
	e, err := bucket(t, a).PutWith(t.Context(), []byte("k"), []byte("v"), replicator.PutOptions{TTL: 2 * time.Second})
	if err != nil || e.Expiry == 0 {
		t.Fatalf("%+v, %v", e, err)
	}
	eventually(t, "b has it", has(bucket(t, b), "k", "v"))
	if got, err := bucket(t, b).Get(t.Context(), []byte("k")); err != nil || got.Expiry != e.Expiry {
		t.Errorf("at b it expires at %d, %v", got.Expiry, err)
	}
	eventually(t, "it is gone on both", func() bool { return gone(bucket(t, a), "k")() && gone(bucket(t, b), "k")() })
	if _, err := bucket(t, b).CreateLocal(t.Context(), []byte("k"), []byte("new")); err != nil {
		t.Errorf("created behind an expiry: %v", err)
	}
	eventually(t, "a has the new one", has(bucket(t, a), "k", "new"))
	for name, o := range map[string]replicator.PutOptions{
		"past":     {Expires: time.Now().Add(-time.Second)},
		"negative": {TTL: -time.Second},
		"both":     {TTL: time.Second, Expires: time.Now().Add(time.Hour)},
		"too far":  {Expires: time.Unix(1<<62, 0)},
	} {
		if _, err := bucket(t, a).PutWith(t.Context(), []byte("bad"), nil, o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestDeletePrefix deletes more keys than go into one commit, and no others.
func TestDeletePrefix(t *testing.T) {
	s := startServer(t)
	b := bucket(t, open(t, s.ClientURL(), short("a", "")))
	var ops []replicator.Op
	for i := range 2500 {
		ops = append(ops, replicator.Op{Key: fmt.Appendf(nil, "gone/%d", i), Value: []byte("v")})
	}
	ops = append(ops, replicator.Op{Key: []byte("gone"), Value: []byte("v")}, replicator.Op{Key: []byte("gone0"), Value: []byte("v")})
	if _, err := b.Batch(t.Context(), ops...); err != nil {
		t.Fatal(err)
	}
	if n, err := b.DeletePrefix(t.Context(), []byte("gone/")); n != 2500 || err != nil || b.Keys() != 2 {
		t.Errorf("%d deleted, %v, %d left", n, err, b.Keys())
	}
	if n, err := b.DeletePrefix(t.Context(), nil); n != 2 || err != nil || b.Keys() != 0 {
		t.Errorf("%d deleted, %v, %d left", n, err, b.Keys())
	}
}

// TestScanBounds reads ranges in both directions.
func TestScanBounds(t *testing.T) {
	s := startServer(t)
	b := bucket(t, open(t, s.ClientURL(), short("a", "")))
	for i := range 10 {
		put(t, b, fmt.Sprint(i), "v")
	}
	for name, tt := range map[string]struct {
		o    replicator.ScanOptions
		want string
	}{
		"range":         {replicator.ScanOptions{Start: []byte("3"), End: []byte("6")}, "345"},
		"reverse":       {replicator.ScanOptions{Start: []byte("3"), End: []byte("6"), Reverse: true}, "543"},
		"reverse after": {replicator.ScanOptions{After: []byte("3"), Reverse: true, Limit: 2}, "21"},
		"no end":        {replicator.ScanOptions{Start: []byte("8")}, "89"},
		"empty":         {replicator.ScanOptions{Start: []byte("6"), End: []byte("6")}, ""},
	} {
		got := ""
		for e, err := range b.Scan(t.Context(), tt.o) {
			if err != nil {
				t.Fatal(err)
			}
			got += string(e.Key)
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}
