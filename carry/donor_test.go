package carry_test

import (
	"testing"
	"time"

	"replicator/carry"
	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// busyKV lets something happen during each fsync.
type busyKV struct {
	store.KV
	during func()
}

func (kv *busyKV) Sync() error {
	if kv.during != nil {
		kv.during()
	}
	return kv.KV.Sync()
}

func openBucket(t *testing.T, kv store.KV) (*store.Store, *store.Bucket) {
	t.Helper()
	s, err := store.Open(kv, now, store.Options{Node: "b", Nonce: oplog.Nonce{1}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Join("orders")
	if err != nil {
		t.Fatal(err)
	}
	return s, b
}

func put(t *testing.T, b *store.Bucket, key string) {
	t.Helper()
	if _, err := b.Write(now, []store.Op{{Key: []byte(key), Value: []byte("v")}}); err != nil {
		t.Error(err)
	}
}

// TestServedSnapshotIsOneMoment writes while the donor makes a snapshot
// durable: clock and rows must both be from before.
func TestServedSnapshotIsOneMoment(t *testing.T) {
	kv := &busyKV{KV: store.NewMap()}
	s, b := openBucket(t, kv)
	put(t, b, "before")
	kv.during = func() { put(t, b, "meanwhile") }
	d := carry.NewDonor(s)
	ev := d.Open(syncer.OpenSnapshot{Bucket: "orders", Session: 1})
	kv.during = nil
	if ev.Err != nil {
		t.Fatal(ev.Err)
	}
	own := b.Origin()
	if ev.Clock[own] != 1 || ev.Rows != 1 {
		t.Errorf("the snapshot covers %d writes in %d rows, want 1 and 1", ev.Clock[own], ev.Rows)
	}
	if b.DurableSeq() < ev.Clock[own] {
		t.Errorf("write %d is served, on disk is %d", ev.Clock[own], b.DurableSeq())
	}
	for _, keyOrder := range []bool{true, false} {
		open := d.Open(syncer.OpenSnapshot{Bucket: "orders", Session: 2})
		if open.Err != nil {
			t.Fatal(open.Err)
		}
		put(t, b, "later")
		page := d.Read(syncer.ReadPage{Session: 2, KeyOrder: keyOrder, Limit: 1 << 20})
		if page.Err != nil || uint64(len(page.Entries)) != open.Rows {
			t.Errorf("%d entries of a snapshot of %d rows, %v", len(page.Entries), open.Rows, page.Err)
		}
		if err := d.Close(2); err != nil {
			t.Error(err)
		}
	}
	if err := d.CloseAll(); err != nil || d.Sessions() != 0 {
		t.Errorf("%d snapshots left, %v", d.Sessions(), err)
	}
}

// TestServesNoUnsyncedWritesOfANewEpoch: after a fork the node writes under a
// new epoch, whose seqs say nothing about those of the old one.
func TestServesNoUnsyncedWritesOfANewEpoch(t *testing.T) {
	s, b := openBucket(t, store.NewMap())
	for range 5 {
		put(t, b, "k")
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	old := b.Origin()
	if err := b.EndPull(now, oplog.Clock{old: 9}, nil); err != nil { // somebody else wrote as we
		t.Fatal(err)
	}
	put(t, b, "new")
	if b.Origin() == old {
		t.Fatal("the epoch was kept")
	}
	d := carry.NewDonor(s)
	ev := d.Open(syncer.OpenSnapshot{Bucket: "orders", Session: 1})
	if ev.Err != nil {
		t.Fatal(ev.Err)
	}
	if durable := b.Durable(); durable.Epoch != b.Origin().Epoch || durable.Own != 1 {
		t.Errorf("served while the durable state is %+v", durable)
	}
	if err := d.CloseAll(); err != nil {
		t.Error(err)
	}
}

// TestClosedSessionReadsNoEnd: a page may be asked for just before. An end would
// have the puller take the claim without the rows.
func TestClosedSessionReadsNoEnd(t *testing.T) {
	s, b := openBucket(t, store.NewMap())
	put(t, b, "k")
	d := carry.NewDonor(s)
	if ev := d.Open(syncer.OpenSnapshot{Bucket: "orders", Session: 1}); ev.Err != nil {
		t.Fatal(ev.Err)
	}
	if err := d.Close(1); err != nil {
		t.Fatal(err)
	}
	if ev := d.Read(syncer.ReadPage{Session: 1, Limit: 100}); ev.Err == nil || ev.End || len(ev.Entries) > 0 {
		t.Errorf("reads as %+v", ev)
	}
	if ev := d.Open(syncer.OpenSnapshot{Bucket: "none", Session: 2}); ev.Err == nil {
		t.Error("a bucket that is not here is served")
	}
}

// TestLogPagesKeepBatchesWhole: a page in log order that is full takes the rest
// of an atomic batch all the same; one in key order does not.
func TestLogPagesKeepBatchesWhole(t *testing.T) {
	s, b := openBucket(t, store.NewMap())
	put(t, b, "a")
	ops := make([]store.Op, 20)
	for i := range ops {
		ops[i] = store.Op{Key: []byte{'b', byte(i)}, Value: make([]byte, 100)}
	}
	ops[0].Batch = len(ops)
	if _, err := b.Write(now, ops); err != nil {
		t.Fatal(err)
	}
	put(t, b, "b\x05") // one that did not survive
	put(t, b, "c")
	d := carry.NewDonor(s)
	for session, tt := range []struct {
		keyOrder bool
		pages    int
	}{{false, 2}, {true, 6}} {
		if ev := d.Open(syncer.OpenSnapshot{Bucket: "orders", Session: uint64(session)}); ev.Err != nil {
			t.Fatal(ev.Err)
		}
		pages, whole := 0, 0
		for end := false; !end; pages++ {
			ev := d.Read(syncer.ReadPage{Session: uint64(session), KeyOrder: tt.keyOrder, Limit: 700})
			if ev.Err != nil {
				t.Fatal(ev.Err)
			}
			n := 0
			for i := range ev.Entries {
				if ev.Entries[i].BatchBack+ev.Entries[i].BatchAhead > 0 {
					n++
				}
			}
			whole, end = max(whole, n), ev.End
		}
		if (whole == 19) != !tt.keyOrder || pages != tt.pages {
			t.Errorf("key order %v: %d pages, the most of the batch in one is %d of 19", tt.keyOrder, pages, whole)
		}
	}
	if err := d.CloseAll(); err != nil {
		t.Error(err)
	}
}

// TestFalseBatchDoesNotFillTheMemory: rows that claim to be one endless batch
// are still cut where a message ends.
func TestFalseBatchDoesNotFillTheMemory(t *testing.T) {
	s, b := openBucket(t, store.NewMap())
	o := oplog.Origin{Node: "liar", Epoch: 1}
	for i := range uint32(40) {
		e := oplog.Entry{
			Key: []byte{'k', byte(i)}, Value: make([]byte, 1<<20), Stamp: oplog.Stamp{HLC: 1, Origin: o, Seq: uint64(i) + 1},
			BatchBack: i, BatchAhead: 1<<31 - i,
		}
		if _, err := b.ApplyPage(now, []oplog.Entry{e}, nil); err != nil {
			t.Fatal(err)
		}
	}
	d := carry.NewDonor(s)
	if ev := d.Open(syncer.OpenSnapshot{Bucket: "orders", Session: 1}); ev.Err != nil {
		t.Fatal(ev.Err)
	}
	for end := false; !end; {
		ev := d.Read(syncer.ReadPage{Session: 1, Limit: 1000})
		body, err := oplog.Encode(oplog.JSON, &oplog.Page{Session: oplog.Session{ID: 1, Puller: oplog.Nonce{1}, Donor: oplog.Nonce{2}}, Number: 1, Entries: ev.Entries})
		if ev.Err != nil || err != nil || len(body) > oplog.MaxBody {
			t.Fatalf("a page of %d bytes, %v, %v", len(body), ev.Err, err)
		}
		end = ev.End
	}
	if err := d.CloseAll(); err != nil {
		t.Error(err)
	}
}
