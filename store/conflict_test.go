package store_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
)

func lost(tb testing.TB, b *store.Bucket) []store.Lost {
	tb.Helper()
	var list []store.Lost
	for l, err := range b.Lost() {
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, l)
	}
	return list
}

// TestConflict is rule P1: writers that had not seen each other's write, and
// only those, are in conflict, on every road and whichever side hears first.
func TestConflict(t *testing.T) {
	for name, road := range map[string]func(tb testing.TB, to, from *store.Bucket, w store.Written) store.Applied{
		"live": func(tb testing.TB, to, _ *store.Bucket, w store.Written) store.Applied {
			tb.Helper()
			return apply(tb, to, noon, live(w))
		},
		"page": func(tb testing.TB, to, _ *store.Bucket, w store.Written) store.Applied {
			tb.Helper()
			a, err := to.ApplyPage(noon, w.Entries, nil)
			if err != nil {
				tb.Fatal(err)
			}
			return a
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := store.NewMap()
			a, b := join(t, open(t, m, "a", 1), "b"), join(t, open(t, store.NewMap(), "b", 2), "b")
			first := write(t, a, noon, put("k", "first"), put("same", "v"))
			if got := road(t, b, a, first); len(got.Conflicts) > 0 {
				t.Fatalf("a first write: %+v", got.Conflicts)
			}
			seen := write(t, b, noon.Add(time.Second), put("k", "seen"))
			if got := road(t, a, b, seen); len(got.Conflicts) > 0 {
				t.Fatalf("a write over one that was seen: %+v", got.Conflicts)
			}
			loser := write(t, a, noon.Add(2*time.Second), put("k", "from a"), put("same", "equal"))
			winner := write(t, b, noon.Add(3*time.Second), put("k", "from b"), put("same", "equal"))
			atA, atB := road(t, a, b, winner), road(t, b, a, loser)
			for where, got := range map[string]store.Applied{"a": atA, "b": atB} {
				if len(got.Conflicts) != 1 || string(got.Conflicts[0].Loser.Value) != "from a" || string(got.Conflicts[0].Winner.Value) != "from b" {
					t.Errorf("at %s: %+v", where, got.Conflicts)
				}
			}
			if got := lost(t, b); len(got) > 0 {
				t.Errorf("b keeps %+v, and lost nothing", got)
			}
			check(t, a)

			a = join(t, open(t, m, "a", 3), "b") // kept over a restart
			list := lost(t, a)
			if len(list) != 1 || string(list[0].Entry.Key) != "k" || string(list[0].Entry.Value) != "from a" ||
				list[0].Winner != winner.Entries[0].Stamp || !list[0].At.Equal(noon) {
				t.Fatalf("a keeps %+v", list)
			}
			if ok, err := a.DropLost(list[0].Entry.Dot()); !ok || err != nil {
				t.Error(ok, err)
			}
			if ok, err := a.DropLost(list[0].Entry.Dot()); ok || err != nil {
				t.Error(ok, err)
			}
			if got := lost(t, join(t, open(t, m, "a", 4), "b")); len(got) > 0 {
				t.Errorf("still keeps %+v", got)
			}
		})
	}
}

// TestLostDelete: a delete that loses to a concurrent put is a conflict, one
// that others may have collected is not.
func TestLostDelete(t *testing.T) {
	a, b := join(t, open(t, store.NewMap(), "a", 1), "b"), join(t, open(t, store.NewMap(), "b", 2), "b")
	apply(t, b, noon, live(write(t, a, noon, put("k", "1"))))
	write(t, a, noon.Add(time.Second), del("k"))
	w := write(t, b, noon.Add(2*time.Second), put("k", "2"))
	if got := apply(t, a, noon, live(w)); len(got.Conflicts) != 1 || !got.Conflicts[0].Loser.Tombstone {
		t.Errorf("%+v", got.Conflicts)
	}
	if got := lost(t, a); len(got) != 1 || !got[0].Entry.Tombstone {
		t.Errorf("%+v", got)
	}
}

// TestLostWritesAreBounded in number, bytes and age; the oldest go first.
func TestLostWritesAreBounded(t *testing.T) {
	loses := func(t *testing.T, b *store.Bucket, at time.Time, n, size int) {
		t.Helper()
		x := oplog.Origin{Node: "x", Epoch: 9}
		var entries []oplog.Entry
		for i := range n {
			key := fmt.Sprintf("k%05d", i)
			write(t, b, at, put(key, strings.Repeat("v", size)))
			entries = append(entries, oplog.Entry{
				Key: []byte(key), Value: []byte("x"),
				Stamp: oplog.Stamp{HLC: oplog.HLCAt(at.Add(time.Minute)), Origin: x, Seq: b.Seq(x) + oplog.Seq(i) + 1},
			})
		}
		m := &oplog.Live{Bucket: "b", Origin: x, First: entries[0].Stamp.Seq, Last: entries[n-1].Stamp.Seq, Entries: entries}
		apply(t, b, at, m)
	}
	t.Run("number", func(t *testing.T) {
		_, _, b := fresh(t)
		loses(t, b, noon, 1003, 1)
		if got := lost(t, b); len(got) != 1000 || string(got[0].Entry.Key) != "k00003" {
			t.Errorf("%d, the first %q", len(got), got[0].Entry.Key)
		}
		check(t, b)
	})
	t.Run("bytes", func(t *testing.T) {
		_, _, b := fresh(t)
		for i := range 10 {
			loses(t, b, noon.Add(time.Duration(i)*2*time.Minute), 1, 15<<20)
		}
		if got := lost(t, b); len(got) != 4 {
			t.Errorf("%d of 15 MiB each are kept", len(got))
		}
	})
	t.Run("age", func(t *testing.T) {
		_, _, b := fresh(t)
		loses(t, b, noon, 3, 1)
		loses(t, b, noon.Add(8*24*time.Hour), 1, 1)
		if got := lost(t, b); len(got) != 1 {
			t.Errorf("%d are kept", len(got))
		}
	})
}

// TestLostWriteIsKeptOnce however often it comes: a node that lost its disk hears
// of its own writes from others, as extras with every pull.
func TestLostWriteIsKeptOnce(t *testing.T) {
	_, _, b := fresh(t)
	old, x := oplog.Origin{Node: "n1", Epoch: 9}, oplog.Origin{Node: "x", Epoch: 9}
	at := func(o oplog.Origin, key string, seq oplog.Seq, later time.Duration) oplog.Entry {
		return oplog.Entry{Key: []byte(key), Value: []byte(o.Node), Stamp: oplog.Stamp{HLC: oplog.HLCAt(noon.Add(later)), Origin: o, Seq: seq}}
	}
	winners := []oplog.Entry{at(x, "j", 1, time.Second), at(x, "k", 2, time.Second)}
	losers := []oplog.Entry{at(old, "j", 4, 0), at(old, "k", 5, 0), at(old, "k", 5, 0)}
	if _, err := b.ApplyPage(noon, winners, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.EndPull(noon, nil, oplog.Clock{old: 9}); err != nil { // 9 was beaten, too: nothing else changes
		t.Fatal(err)
	}
	for i, want := range []int{2, 0} {
		a, err := b.ApplyPage(noon.Add(time.Duration(i)*time.Minute), losers, &store.Token{Cursor: []byte("k"), Claim: oplog.Clock{}})
		if err != nil {
			t.Fatal(err)
		}
		if got := lost(t, b); len(a.Conflicts) != want || len(got) != 2 {
			t.Errorf("time %d: %d conflicts, %d are kept", i, len(a.Conflicts), len(got))
		}
	}
	if ok, err := b.DropLost(losers[1].Dot()); !ok || err != nil {
		t.Error(ok, err)
	}
	if got := lost(t, b); len(got) != 1 || string(got[0].Entry.Key) != "j" {
		t.Errorf("%+v", got)
	}
}

// TestLostWriteIsKeptThoughNothingElseChanges: it came as an extra of which the
// bucket knew already.
func TestLostWriteIsKeptThoughNothingElseChanges(t *testing.T) {
	_, _, b := fresh(t)
	old := oplog.Origin{Node: "n1", Epoch: 9}
	write(t, b, noon.Add(time.Second), put("k", "new"))
	if err := b.EndPull(noon, nil, oplog.Clock{old: 9}); err != nil {
		t.Fatal(err)
	}
	l := oplog.Entry{Key: []byte("k"), Value: []byte("old"), Stamp: oplog.Stamp{HLC: oplog.HLCAt(noon), Origin: old, Seq: 5}}
	if _, err := b.ApplyPage(noon, []oplog.Entry{l}, nil); err != nil {
		t.Fatal(err)
	}
	if got := lost(t, b); len(got) != 1 {
		t.Errorf("%d are kept", len(got))
	}
}

// TestNodeStartsThoughAKeptWriteRotted: it is there for people.
func TestNodeStartsThoughAKeptWriteRotted(t *testing.T) {
	kv := store.NewMap()
	a := join(t, open(t, kv, "n1", 1), "b")
	b := join(t, open(t, store.NewMap(), "n2", 2), "b")
	write(t, a, noon, put("k", "a"))
	write(t, b, noon.Add(time.Second), put("k", "b"))
	pull(t, a, b, true, 10)
	it, err := kv.Iter([]byte{0x1a}, []byte{0x1b})
	if err != nil || !it.First() {
		t.Fatal("none kept", err)
	}
	at, v := bytes.Clone(it.Key()), bytes.Clone(it.Value())
	_ = it.Close()
	v[0] ^= 1
	batch := kv.NewBatch()
	batch.Set(at, v)
	if kv.Commit(batch) != nil || kv.Sync() != nil {
		t.Fatal("cannot rot")
	}
	write(t, a, noon.Add(2*time.Second), put("sound", "a"))
	write(t, b, noon.Add(3*time.Second), put("sound", "b"))
	pull(t, a, b, true, 10)
	again, err := store.Open(kv.Clone(), noon, store.Options{Node: "n1", Nonce: nonce(79), Epoch: epochs(9)})
	if err != nil {
		t.Fatalf("the node does not start: %v", err)
	}
	kept, _ := again.Bucket("b")
	var told []string
	for l, err := range kept.Lost() {
		if err != nil {
			told = append(told, fmt.Sprintf("corrupt %v", store.IsCorrupt(err)))
			continue
		}
		told = append(told, string(l.Entry.Key))
	}
	if got := fmt.Sprint(told); got != "[sound corrupt true]" {
		t.Errorf("kept are %s", got)
	}
}
