package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
)

func TestWriteGroupWithOverlappingKeys(t *testing.T) {
	_, _, b := fresh(t)
	w := write(t, b, noon, put("a", "1"), put("b", "1"), put("a", "2"), del("b"), del("c"))
	if w.First != 1 || w.Last != 4 || len(w.Entries) != 4 {
		t.Fatalf("%+v", w)
	}
	if !slices.Equal(w.Skipped, []bool{false, false, false, false, true}) {
		t.Fatal(w.Skipped)
	}
	if w.Entries[2].Prev != w.Entries[0].Stamp {
		t.Fatal("later op does not name the earlier as replaced")
	}
	if len(w.Changes) != 2 || value(t, b, "a") != "2" || value(t, b, "b") != "-" {
		t.Fatalf("%+v", w.Changes)
	}
	snap, err := b.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	if log := all(t, snap.Log(nil)); len(log) != 2 || log[0].Stamp.Seq != 3 || log[1].Stamp.Seq != 4 {
		t.Fatalf("%+v", log)
	}
	if b.Keys() != 1 || snap.Count != 2 {
		t.Fatal(b.Keys(), snap.Count)
	}
	check(t, b)
}

func TestWriteStampsFollowTheRules(t *testing.T) {
	_, _, b := fresh(t)
	first := write(t, b, noon, put("k", "1")).Entries[0].Stamp
	if first.HLC != oplog.HLCAt(noon) {
		t.Fatal(first)
	}
	second := write(t, b, noon.Add(-time.Hour), put("k", "2")).Entries[0].Stamp
	if second.HLC != first.HLC+1 {
		t.Fatal("a wall clock that went back must not make stamps go back", second)
	}
	year := oplog.HLCAt(noon.Add(365 * 24 * time.Hour))
	foreign := oplog.Entry{Key: []byte("k"), Value: []byte("f"), Stamp: oplog.Stamp{HLC: year, Origin: oplog.Origin{Node: "x", Epoch: 1}, Seq: 1}}
	a := apply(t, b, noon, &oplog.Live{Bucket: "b", Origin: foreign.Stamp.Origin, First: 1, Last: 1, Entries: []oplog.Entry{foreign}})
	if len(a.Future) != 1 || b.HLC() > oplog.HLCAt(noon.Add(5*time.Minute)) {
		t.Fatal("far-future row poisoned the clock", a.Future, b.HLC())
	}
	over := write(t, b, noon, put("k", "3")).Entries[0].Stamp
	if over.HLC != year+1 || value(t, b, "k") != "3" {
		t.Fatal("overwrite of a far-future row must win", over)
	}
	next := write(t, b, noon, put("other", "4")).Entries[0].Stamp
	if next.HLC > oplog.HLCAt(noon.Add(6*time.Minute)) {
		t.Fatal("writer was dragged into the future", next)
	}
	check(t, b)
}

func TestDeleteNeedsARow(t *testing.T) {
	_, _, b := fresh(t)
	if w := write(t, b, noon, del("k")); !w.Skipped[0] || w.Last != 0 || len(b.Clock()) != 0 || !b.Origin().IsZero() {
		t.Fatalf("%+v", w)
	}
	write(t, b, noon, store.Op{Key: []byte("k"), Expiry: 1})
	if w := write(t, b, noon, del("k")); w.Skipped[0] {
		t.Fatal("an expired row is still a row")
	}
	if w := write(t, b, noon, del("k")); !w.Skipped[0] {
		t.Fatal("deleted twice")
	}
	check(t, b)
}

func TestOnlyIfSeesTheGroup(t *testing.T) {
	_, _, b := fresh(t)
	absent := func(e *oplog.Entry) bool { return e == nil }
	create := put("k", "1")
	create.OnlyIf = absent
	w := write(t, b, noon, create, create)
	if w.Skipped[0] || !w.Skipped[1] {
		t.Fatal(w.Skipped)
	}
	check(t, b)
}

func TestAtomicBatchIsAllOrNone(t *testing.T) {
	_, _, b := fresh(t)
	no := put("b", "1")
	no.OnlyIf = func(*oplog.Entry) bool { return false }
	first := put("a", "1")
	first.Batch = 2
	w := write(t, b, noon, first, no, put("c", "1"))
	if !slices.Equal(w.Skipped, []bool{true, true, false}) {
		t.Fatal(w.Skipped)
	}
	first.Batch = 3
	write(t, b, noon, first, del("missing"), put("d", "1"))
	a, d := get(t, b, "a"), get(t, b, "d")
	if a.BatchBack != 0 || a.BatchAhead != 1 || d.BatchBack != 1 || d.BatchAhead != 0 {
		t.Fatal(a, d)
	}
	if c := get(t, b, "c"); c.BatchBack != 0 || c.BatchAhead != 0 {
		t.Fatal(c)
	}
	check(t, b)
}

func TestLimitsRefuseBeforeAnythingIsWritten(t *testing.T) {
	_, _, b := fresh(t)
	bad := []store.Op{
		put("", "x"),
		put(strings.Repeat("k", oplog.MaxKey+1), "x"),
		{Key: []byte("k"), Value: make([]byte, oplog.MaxValue+1)},
		{Key: []byte("k"), Expiry: -1},
		{Key: []byte("k"), Batch: 2},
	}
	for _, op := range bad {
		if _, err := b.Write(noon, []store.Op{put("ok", "1"), op}); err == nil {
			t.Fatalf("took %.20q", op.Key)
		}
	}
	var limit *store.LimitError
	if _, err := b.Write(noon, bad[1:2]); !errors.As(err, &limit) || limit.Limit != oplog.MaxKey {
		t.Fatal(err)
	}
	if len(b.Clock()) != 0 || value(t, b, "ok") != "-" {
		t.Fatal("something was written")
	}
	write(t, b, noon, put(strings.Repeat("k", oplog.MaxKey), ""))
	check(t, b)
}

func TestTimestampsNeverOverflow(t *testing.T) {
	_, _, b := fresh(t)
	o := oplog.Origin{Node: "x", Epoch: 1}
	at := func(hlc oplog.HLC) *oplog.Live {
		e := oplog.Entry{Key: []byte("k"), Stamp: oplog.Stamp{HLC: hlc, Origin: o, Seq: 1}}
		return &oplog.Live{Bucket: "b", Origin: o, First: 1, Last: 1, Entries: []oplog.Entry{e}}
	}
	var bad *store.MalformedError
	for _, hlc := range []oplog.HLC{1<<64 - 1, 1<<64 - 1<<32 + 1} {
		if a := apply(t, b, noon, at(hlc)); len(a.Refused) != 1 || !errors.As(a.Refused[0], &bad) {
			t.Fatal(hlc, a)
		}
		if _, err := b.ApplyPage(noon, at(hlc).Entries, nil); !errors.As(err, &bad) {
			t.Fatal(hlc, err)
		}
	}
	apply(t, b, noon, at(1<<64-1<<32))
	var limit *store.LimitError
	if _, err := b.Write(noon, []store.Op{put("k", "1")}); !errors.As(err, &limit) {
		t.Fatal(err)
	}
	if w := write(t, b, noon, put("free", "1")); w.Entries[0].Stamp.HLC > oplog.HLCAt(noon.Add(time.Hour)) {
		t.Fatal(w.Entries[0])
	}
	check(t, b)
}

func TestScan(t *testing.T) {
	for name, kv := range kvs(t) {
		t.Run(name, func(t *testing.T) {
			s := open(t, kv, "n1", 1)
			b := join(t, s, "b")
			join(t, s, "c")
			write(t, b, noon, put("a", "1"), put("ab", "2"), put("b", "3"), put("\xff", "4"), put("\xff\xff", "5"), put("x", "6"))
			write(t, b, noon, del("ab"), store.Op{Key: []byte("gone"), Expiry: noon.UnixMilli()})
			c, _ := s.Bucket("c")
			write(t, c, noon, put("other", "bucket"))
			for _, tt := range []struct {
				o    store.ScanOptions
				want string
			}{
				{store.ScanOptions{}, "a ab b gone x \xff \xff\xff"},
				{store.ScanOptions{Now: noon}, "a b x \xff \xff\xff"},
				{store.ScanOptions{Now: noon, Reverse: true}, "\xff\xff \xff x b a"},
				{store.ScanOptions{Now: noon, Reverse: true, After: []byte("x"), Limit: 1}, "b"},
				{store.ScanOptions{Prefix: []byte("a")}, "a ab"},
				{store.ScanOptions{Prefix: []byte("\xff")}, "\xff \xff\xff"},
				{store.ScanOptions{After: []byte("b"), Now: noon}, "x \xff \xff\xff"},
				{store.ScanOptions{Start: []byte("ab"), End: []byte("x")}, "ab b gone"},
				{store.ScanOptions{Start: []byte("x"), End: []byte("a")}, ""},
				{store.ScanOptions{Limit: 2, KeysOnly: true}, "a ab"},
			} {
				if got := strings.Join(keys(all(t, b.Scan(tt.o))), " "); got != tt.want {
					t.Errorf("%+v: %q, want %q", tt.o, got, tt.want)
				}
			}
			check(t, b)
		})
	}
}
