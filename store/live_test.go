package store_test

import (
	"testing"

	"replicator/oplog"
)

// writer hands out entries of one foreign origin.
type writer struct {
	o   oplog.Origin
	seq oplog.Seq
}

func (w *writer) entry(key, value string, hlc oplog.HLC) oplog.Entry {
	w.seq++
	return oplog.Entry{Key: []byte(key), Value: []byte(value), Stamp: oplog.Stamp{HLC: hlc, Origin: w.o, Seq: w.seq}}
}

func foreign(node string) *writer { return &writer{o: oplog.Origin{Node: node, Epoch: 9}} }

func message(entries ...oplog.Entry) *oplog.Live {
	first, last := entries[0].Stamp, entries[len(entries)-1].Stamp
	return &oplog.Live{Bucket: "b", Origin: first.Origin, First: first.Seq, Last: last.Seq, Entries: entries}
}

func TestLaterStampWinsInEitherOrder(t *testing.T) {
	x, y := foreign("x"), foreign("y")
	base := oplog.HLCAt(noon)
	for name, pair := range map[string][2]oplog.Entry{
		"by timestamp": {x.entry("k", "old", base), y.entry("k", "new", base+1)},
		"by node":      {foreign("x").entry("k", "old", base), foreign("y").entry("k", "new", base)},
		"tombstone":    {foreign("x").entry("k", "old", base), func() oplog.Entry { e := foreign("y").entry("k", "", base); e.Tombstone = true; return e }()},
	} {
		for _, swap := range []bool{false, true} {
			_, _, b := fresh(t)
			if swap {
				pair[0], pair[1] = pair[1], pair[0]
			}
			for i := range pair {
				if _, err := b.ApplyPage(noon, pair[i:i+1], nil); err != nil {
					t.Fatal(err)
				}
			}
			want := pair[1]
			if pair[1].Stamp.Less(pair[0].Stamp) {
				want = pair[0]
			}
			if e := get(t, b, "k"); e.Stamp != want.Stamp {
				t.Fatal(name, swap, e)
			}
			check(t, b)
		}
	}
}

func TestLiveRanges(t *testing.T) {
	x := foreign("x")
	var e []oplog.Entry
	for i := range 10 {
		e = append(e, x.entry(string(rune('a'+i)), "v", oplog.HLCAt(noon)+oplog.HLC(i)))
	}
	_, _, b := fresh(t)
	seq := func() oplog.Seq { return b.Seq(x.o) }

	if a := apply(t, b, noon, message(e[1:2]...)); a.Gaps != 1 || seq() != 0 {
		t.Fatal("jumped a gap", a, seq())
	}
	if a := apply(t, b, noon, message(e[0:5]...)); a.Merged != 5 || len(a.Changes) != 5 || seq() != 5 {
		t.Fatal(a, seq())
	}
	if a := apply(t, b, noon, message(e[0:3]...)); a.Merged != 0 || len(a.Changes) != 0 {
		t.Fatal("took what is covered", a)
	}
	if a := apply(t, b, noon, message(e[3:8]...)); a.Merged != 3 || seq() != 8 {
		t.Fatal("overlap", a, seq())
	}
	announced := message(e[8:]...)
	announced.Entries, announced.Size = nil, 1<<20
	if a := apply(t, b, noon, announced); a.Gaps != 1 || seq() != 8 {
		t.Fatal("announcement moved the clock", a)
	}
	if a := apply(t, b, noon, message(e[9:]...), message(e[8:9]...)); a.Gaps != 1 || seq() != 9 {
		t.Fatal(a, seq())
	}
	other := message(e[9:]...)
	other.Bucket = "elsewhere"
	if a := apply(t, b, noon, other); len(a.Refused) != 1 {
		t.Fatal(a)
	}
	if a := apply(t, b, noon, message(e[9:]...)); a.Merged != 1 || seq() != 10 {
		t.Fatal(a)
	}
	check(t, b)
}

func TestLiveMessagesSeeEachOther(t *testing.T) {
	x, y := foreign("x"), foreign("y")
	base := oplog.HLCAt(noon)
	_, _, b := fresh(t)
	a := apply(t, b, noon,
		message(x.entry("k", "1", base), x.entry("k", "2", base+1)),
		message(y.entry("k", "3", base+5)),
		message(x.entry("k", "4", base+3), x.entry("j", "5", base+4)))
	if a.Merged != 5 || len(a.Changes) != 2 || value(t, b, "k") != "3" {
		t.Fatalf("%+v", a)
	}
	if string(a.Changes[0].Entry.Key) != "k" || b.Keys() != 2 {
		t.Fatalf("%+v", a.Changes)
	}
	check(t, b)
}

func TestCoveredEntriesChangeNothing(t *testing.T) {
	x := foreign("x")
	_, _, b := fresh(t)
	e := x.entry("k", "1", oplog.HLCAt(noon))
	apply(t, b, noon, message(e))
	write(t, b, noon, put("k", "2"))
	before := b.Digest()
	a, err := b.ApplyPage(noon, []oplog.Entry{e}, nil)
	if err != nil || a.Merged != 0 || len(a.Changes) != 0 || b.Digest() != before {
		t.Fatal(a, err)
	}
	check(t, b)
}

func TestForksAreReported(t *testing.T) {
	x := foreign("x")
	_, _, b := fresh(t)
	base := oplog.HLCAt(noon)
	e1, e2, e3 := x.entry("k", "1", base), x.entry("l", "2", base+1), x.entry("m", "3", base+2)
	apply(t, b, noon, message(e1))
	page := func(list ...oplog.Entry) int {
		t.Helper()
		a, err := b.ApplyPage(noon, list, nil)
		if err != nil {
			t.Fatal(err)
		}
		check(t, b)
		return len(a.Forks)
	}
	changed, moved := e1, e1
	changed.Value, moved.Key = []byte("other"), []byte("elsewhere")
	if n := page(e3, e3); n != 0 {
		t.Fatal("a repeat is no fork", n)
	}
	if n := page(changed) + page(moved); n != 2 {
		t.Fatal("covered forks missed", n)
	}
	changed, moved = e3, e3
	changed.Stamp.HLC++
	moved.Key = []byte("elsewhere")
	if n := page(moved); n != 1 || value(t, b, "elsewhere") != "-" {
		t.Fatal("fork of an extra on another key", n)
	}
	if n := page(changed); n != 1 || get(t, b, "m").Stamp != changed.Stamp {
		t.Fatal("fork of an extra on its key", n)
	}
	twin := e2
	twin.Key = []byte("twin")
	if n := page(e2, twin); n != 1 || value(t, b, "twin") != "-" {
		t.Fatal("fork within a page", n)
	}
}

func TestOwnOriginFromElsewhereRetiresIt(t *testing.T) {
	_, _, b := fresh(t)
	w := write(t, b, noon, put("k", "1"))
	twin := w.Entries[0]
	twin.Key, twin.Stamp.Seq = []byte("t"), 2
	a := apply(t, b, noon, message(twin))
	if len(a.Forks) != 1 || value(t, b, "t") != "1" {
		t.Fatalf("%+v", a)
	}
	if again := write(t, b, noon, put("k", "2")); again.Origin == w.Origin || again.First != 1 {
		t.Fatal("went on under a forked origin", again)
	}
	check(t, b)
}

// TestEntriesThatCouldNotBeReadAgainAreRefused: oplog lets these through.
func TestEntriesThatCouldNotBeReadAgainAreRefused(t *testing.T) {
	whole := oplog.Stamp{HLC: 1, Origin: oplog.Origin{Node: "y", Epoch: 1}, Seq: 1}
	noTime, noEpoch, noSeq := whole, whole, whole
	noTime.HLC, noEpoch.Origin.Epoch, noSeq.Seq = 0, 0, 0
	for _, prev := range []oplog.Stamp{noTime, noEpoch, noSeq} {
		m, s, b := fresh(t)
		e := foreign("x").entry("k", "v", oplog.HLCAt(noon))
		e.Prev = prev
		if a := apply(t, b, noon, message(e)); len(a.Refused) != 1 {
			t.Fatalf("%+v", a)
		}
		if _, err := b.ApplyPage(noon, []oplog.Entry{e}, nil); err == nil {
			t.Fatal("taken:", prev)
		}
		e.Prev = whole
		apply(t, b, noon, message(e))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		m.Reopen()
		b, _ = open(t, m, "n1", 2).Bucket("b")
		check(t, b)
	}
}
