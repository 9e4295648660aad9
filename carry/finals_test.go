package carry_test

import (
	"strings"
	"testing"
	"time"

	"replicator/carry"
	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
)

// TestFinalsReadsWhatWasTold, and says so of rows it cannot read, without them.
func TestFinalsReadsWhatWasTold(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, err := store.Open(store.NewMap(), now, store.Options{Node: "a", Nonce: oplog.Nonce{1}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := carry.Finals(s); err != nil || got == nil || len(got) > 0 {
		t.Errorf("without the bucket: %v, %v", got, err)
	}
	b, err := s.Join(syncer.Fleet)
	if err != nil {
		t.Fatal(err)
	}
	write := func(ops ...store.Op) {
		t.Helper()
		if _, err := b.Write(now, ops); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]oplog.Clock{
		"orders":     {{Node: "a", Epoch: 7}: 3, {Node: "b-2", Epoch: 1<<64 - 1}: 1<<64 - 1},
		syncer.Fleet: {{Node: "a", Epoch: 7}: 1},
	}
	for bucket, clock := range want {
		ops, err := carry.TellFinals(syncer.TellFinals{Bucket: bucket, Finals: clock})
		if err != nil {
			t.Fatal(err)
		}
		write(ops...)
	}
	if got, err := carry.Finals(s); err != nil || oplog.HashFinals(got) != oplog.HashFinals(want) || len(got) != 2 {
		t.Errorf("finals %v, %v, want %v", got, err, want)
	}
	for _, bad := range []store.Op{
		{Key: []byte("final/orders/c"), Value: []byte(`{"v":1,"seq":1}`)},
		{Key: []byte("final/orders/c/7"), Value: []byte(`{"v":1,"seq":1}`)},
		{Key: []byte("final/orders/c/0000000000000000"), Value: []byte(`{"v":1,"seq":1}`)},
		{Key: []byte("final/o x/c/0000000000000007"), Value: []byte(`{"v":1,"seq":1}`)},
		{Key: []byte("final/orders/c/0000000000000007"), Value: []byte(`not JSON`)},
		{Key: []byte("final/orders/c/0000000000000007"), Value: []byte(`{"v":2,"seq":1}`)},
		{Key: []byte("final/orders/c/0000000000000007"), Value: []byte(`{"v":1,"seq":0}`)},
		{Key: []byte("final/orders/c/0000000000000007"), Value: []byte(`{"v":1,"seq":1}` + strings.Repeat(" ", 1024))},
	} {
		write(bad)
		if got, err := carry.Finals(s); err == nil || oplog.HashFinals(got) != oplog.HashFinals(want) {
			t.Errorf("with %q = %q: %v, %v", bad.Key, bad.Value, got, err)
		}
		write(store.Op{Key: bad.Key, Delete: true})
	}
}
