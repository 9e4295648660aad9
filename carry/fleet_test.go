package carry_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"replicator/carry"
	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
)

// TestRetiredReadsWhatWasWritten, and says so of rows it cannot read, without
// taking anybody for retired because of them.
func TestRetiredReadsWhatWasWritten(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, err := store.Open(store.NewMap(), now, store.Options{Node: "a", Nonce: oplog.Nonce{1}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := carry.Retired(s); err != nil || len(got) > 0 {
		t.Errorf("without the bucket: %v, %v", got, err)
	}
	b, err := s.Join(syncer.Fleet)
	if err != nil {
		t.Fatal(err)
	}
	write := func(op store.Op) {
		t.Helper()
		if _, err := b.Write(now, []store.Op{op}); err != nil {
			t.Fatal(err)
		}
	}
	retire := func(node string, r syncer.Retired) {
		t.Helper()
		op, err := carry.Retire(node, r)
		if err != nil {
			t.Fatal(err)
		}
		write(op)
	}
	left := syncer.Retired{State: syncer.MemberLeft, By: "b", At: now}
	forgotten := syncer.Retired{State: syncer.MemberForgotten, By: "a", At: now}
	retire("b", left)
	retire("c", forgotten)
	retire("d", forgotten)
	write(carry.Readmit("d"))
	got, err := carry.Retired(s)
	if err != nil || len(got) != 2 || got["b"] != left || got["c"] != forgotten {
		t.Errorf("retired %v, %v", got, err)
	}
	for _, bad := range []store.Op{
		{Key: []byte("member/x y"), Value: []byte(`{"v":1,"state":"left"}`)},
		{Key: []byte("member/e"), Value: []byte(`not JSON`)},
		{Key: []byte("member/e"), Value: []byte(`{"v":2,"state":"left"}`)},
		{Key: []byte("member/e"), Value: []byte(`{"v":1,"state":"promoted"}`)},
		{Key: []byte("member/e"), Value: []byte(`{"v":1,"state":"left","by":"` + strings.Repeat("b", 65) + `"}`)},
		{Key: []byte("member/e"), Value: []byte(`{"v":1,"state":"left"}` + strings.Repeat(" ", 1024))},
	} {
		write(bad)
		if got, err := carry.Retired(s); err == nil || len(got) != 2 {
			t.Errorf("with %q = %q: %v, %v", bad.Key, bad.Value, got, err)
		}
		write(store.Op{Key: bad.Key, Delete: true})
	}
}

// TestRottenFleetRowIsPassedBy: a node has to start though one row of the fleet's
// bucket rots, and knows what the others say.
func TestRottenFleetRowIsPassedBy(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	kv := store.NewMap()
	s, err := store.Open(kv, now, store.Options{Node: "a", Nonce: oplog.Nonce{1}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Join(syncer.Fleet)
	if err != nil {
		t.Fatal(err)
	}
	left := syncer.Retired{State: syncer.MemberLeft, By: "b", At: now}
	for _, node := range []string{"b", "c", "d"} {
		op, err := carry.Retire(node, left)
		if err != nil {
			t.Fatal(err)
		}
		finals, err := carry.TellFinals(syncer.TellFinals{Bucket: "orders", Finals: oplog.Clock{{Node: node, Epoch: 7}: 1}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Write(now, append(finals, op)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"member/c", "final/orders/c/0000000000000007"} {
		at := append([]byte{0x10, 0, 0, 0, 1}, key...) // the table of rows, the first bucket
		row, ok, err := kv.Get(at)
		if err != nil || !ok {
			t.Fatalf("no row %s: %v", key, err)
		}
		row[len(row)-1] ^= 1
		batch := kv.NewBatch()
		batch.Set(at, row)
		if err := kv.Commit(batch); err != nil {
			t.Fatal(err)
		}
	}
	retired, err := carry.Retired(s)
	if !store.IsCorrupt(err) || len(retired) != 2 || retired["b"] != left || retired["d"] != left {
		t.Errorf("retired %v, %v", retired, err)
	}
	finals, err := carry.Finals(s)
	if !store.IsCorrupt(err) || len(finals["orders"]) != 2 {
		t.Errorf("finals %v, %v", finals, err)
	}
}

// TestRetiredBehindRowsThatSayNothing: a node that was forgotten is known as such,
// however many rows come first, and what is logged of them stays short.
func TestRetiredBehindRowsThatSayNothing(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, err := store.Open(store.NewMap(), now, store.Options{Node: "a", Nonce: oplog.Nonce{1}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Join(syncer.Fleet)
	if err != nil {
		t.Fatal(err)
	}
	ops := []store.Op{}
	for i := range 5000 {
		ops = append(ops, store.Op{Key: fmt.Appendf(nil, "member/x%d", i), Value: []byte("{")})
	}
	op, err := carry.Retire("zz", syncer.Retired{State: syncer.MemberForgotten, By: "b", At: now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(now, append(ops, op)); err != nil {
		t.Fatal(err)
	}
	r, err := carry.Retired(s)
	if r["zz"].State != syncer.MemberForgotten || err == nil || len(err.Error()) > 1000 {
		t.Errorf("%d retired, zz is %q, and the error has %d bytes", len(r), r["zz"].State, len(err.Error()))
	}
}
