package store_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// TestDroppedBucketIsGone: nothing of it stays on the disk but the note that it was
// left, and who still holds it in hand can do nothing with it.
func TestDroppedBucketIsGone(t *testing.T) {
	m, s, b := fresh(t)
	other := join(t, s, "other")
	write(t, other, noon, put("kept", "v"))
	wrote := write(t, b, noon, put("k", "v"), put("l", "v"))
	write(t, b, noon, del("l"))
	if err := s.Drop("b"); err != nil {
		t.Fatal(err)
	}
	if _, held := s.Bucket("b"); held || !slices.Equal(s.Buckets(), []string{"other"}) || !slices.Equal(s.Left(), []string{"b"}) {
		t.Errorf("buckets %v, left %v", s.Buckets(), s.Left())
	}
	if got := s.Wrote()["b"]; !got.Equal(oplog.Clock{wrote.Origin: 3}) {
		t.Errorf("it wrote %v there, up to 3 of %s", got, wrote.Origin)
	}
	for what, do := range map[string]func() error{
		"write":    func() error { _, err := b.Write(noon, []store.Op{put("k", "late")}); return err },
		"apply":    func() error { _, err := b.ApplyLive(noon, nil); return err },
		"page":     func() error { _, err := b.ApplyPage(noon, nil, nil); return err },
		"snapshot": func() error { _, err := b.Snapshot(); return err },
		"collect":  func() error { _, err := b.Collect(noon, store.CollectOptions{}); return err },
	} {
		if err := do(); !errors.Is(err, store.ErrDropped) {
			t.Errorf("%s of a dropped bucket: %v", what, err)
		}
	}
	if err := s.Drop("b"); err != nil {
		t.Errorf("dropping it again: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	m.Reopen()
	s = open(t, m, s.Node(), 2)
	if !slices.Equal(s.Buckets(), []string{"other"}) || !slices.Equal(s.Left(), []string{"b"}) || len(s.Wrote()["b"]) != 1 {
		t.Errorf("after a restart: buckets %v, left %v, wrote %v", s.Buckets(), s.Left(), s.Wrote())
	}
	if kept, _ := s.Bucket("other"); value(t, kept, "kept") != "v" {
		t.Error("another bucket lost its row")
	}
}

// TestDroppedBucketJoinedAgain: it begins empty, under another epoch and above all
// timestamps it has given: no write may have the name of another, or be older.
func TestDroppedBucketJoinedAgain(t *testing.T) {
	m, s, b := fresh(t)
	first := write(t, b, noon, put("k", "v"))
	if err := s.Drop("b"); err != nil {
		t.Fatal(err)
	}
	b = join(t, s, "b")
	if len(s.Left()) != 0 || len(b.Clock()) != 0 || b.Keys() != 0 || b.Guard() != 0 {
		t.Errorf("joined again: left %v, clock %v, %d keys", s.Left(), b.Clock(), b.Keys())
	}
	second := write(t, b, noon.Add(-time.Hour), put("k", "again")) // the wall clock was set back
	if second.Origin == first.Origin || second.Last != 1 {
		t.Errorf("it goes on as %s at %d after %s", second.Origin, second.Last, first.Origin)
	}
	if !first.Entries[0].Stamp.Less(second.Entries[0].Stamp) {
		t.Errorf("%s comes after %s", second.Entries[0].Stamp, first.Entries[0].Stamp)
	}
	check(t, b)
	if err := s.Drop("b"); err != nil { // what it wrote in both times is known
		t.Fatal(err)
	}
	want := oplog.Clock{first.Origin: 1, second.Origin: 1}
	if got := s.Wrote()["b"]; !got.Equal(want) {
		t.Errorf("it wrote %v, want %v", got, want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	m.Reopen()
	s = open(t, m, s.Node(), 2)
	if got := s.Wrote()["b"]; !got.Equal(want) {
		t.Errorf("after a restart it wrote %v, want %v", got, want)
	}
	if write(t, join(t, s, "c"), noon, put("k", "v")); len(s.Left()) != 1 {
		t.Errorf("left %v", s.Left())
	}
}

// TestDropOnAFullDisk: it makes room, so it must not need any.
func TestDropOnAFullDisk(t *testing.T) {
	_, s, b := fresh(t)
	write(t, b, noon, put("k", "v"))
	s.GuardDisk(1, 1<<20)
	if _, err := b.Write(noon, []store.Op{put("k", "w")}); err == nil {
		t.Fatal("a write to a full disk was taken")
	}
	if err := s.Drop("b"); err != nil {
		t.Error(err)
	}
}
