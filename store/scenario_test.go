package store_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// TestScenario09TwoPullsTwoPeers: the pages of two pulls come in any mixture.
// Once both have ended the clock is the join of what the donors had, and each
// key has the latest write of either.
func TestScenario09TwoPullsTwoPeers(t *testing.T) {
	eachSeed(t, 20, func(t *testing.T, rnd *rand.Rand) {
		t.Helper()
		b := join(t, open(t, store.NewMap(), "a", 1), "b")
		var donors [2]*store.Bucket
		var snaps [2]*store.Snapshot
		var left [2][]oplog.Entry
		for i := range donors {
			donors[i] = join(t, open(t, store.NewMap(), []string{"x", "y"}[i], 2), "b")
			for n := range 20 {
				key := string(rune('a' + rnd.IntN(12)))
				write(t, donors[i], noon.Add(time.Duration(rnd.IntN(3600))*time.Second), put(key, string(rune('0'+n%10))))
				if i == 1 && n == 10 {
					pull(t, donors[1], donors[0], false, 3) // what y knows of x
					write(t, donors[0], noon.Add(2*time.Hour), put("late", "x"))
				}
			}
		}
		for i := range donors {
			var err error
			if snaps[i], err = donors[i].Snapshot(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = snaps[i].Close() }()
			left[i] = all(t, snaps[i].Log(nil))
		}
		for len(left[0])+len(left[1]) > 0 {
			i := rnd.IntN(2)
			n := min(len(left[i]), 1+rnd.IntN(3))
			if _, err := b.ApplyPage(noon, left[i][:n], nil); err != nil {
				t.Fatal(err)
			}
			if left[i] = left[i][n:]; len(b.Clock()) > 0 {
				t.Fatalf("the clock is %v before an end", b.Clock())
			}
		}
		for i := range donors {
			if err := b.EndPull(noon, snaps[i].Clock, snaps[i].Ahead); err != nil {
				t.Fatal(err)
			}
		}
		want := snaps[0].Clock.Clone()
		want.Join(snaps[1].Clock)
		if !b.Clock().Equal(want) || len(b.Ahead()) > 0 {
			t.Fatalf("clock %v, want %v; ahead %v", b.Clock(), want, b.Ahead())
		}
		for key := 'a'; key < 'a'+12; key++ {
			best := get(t, donors[0], string(key))
			if other := get(t, donors[1], string(key)); best.Stamp.Less(other.Stamp) {
				best = other
			}
			if got := get(t, b, string(key)); got.Stamp != best.Stamp || string(got.Value) != string(best.Value) {
				t.Errorf("%c is %s, the latest is %s", key, got.Stamp, best.Stamp)
			}
		}
		check(t, b)
	})
}

// TestScenario38ConflictExact: v3 replaced v2, which replaced v1, and v2 never
// came here: no conflict. A write that had seen neither is exactly one.
func TestScenario38ConflictExact(t *testing.T) {
	x := join(t, open(t, store.NewMap(), "x", 1), "b")
	y := join(t, open(t, store.NewMap(), "y", 2), "b")
	here := join(t, open(t, store.NewMap(), "z", 3), "b")
	v1 := write(t, x, noon, put("k", "1"))
	for _, b := range []*store.Bucket{y, here} {
		apply(t, b, noon, live(v1))
	}
	write(t, y, noon.Add(time.Second), put("k", "2"))
	v3 := write(t, y, noon.Add(2*time.Second), put("k", "3"))
	page := func(w store.Written) []store.Conflict {
		t.Helper()
		a, err := here.ApplyPage(noon, w.Entries, nil)
		if err != nil {
			t.Fatal(err)
		}
		return a.Conflicts
	}
	if got := page(v3); len(got) > 0 {
		t.Errorf("a causal overwrite: %+v", got)
	}
	for name, at := range map[string]time.Duration{"here wins": time.Minute, "here loses": 90 * time.Second} {
		w := write(t, x, noon.Add(at), put(name, "from x"))
		write(t, here, noon.Add(75*time.Second), put(name, "from here"))
		got := page(w)
		if len(got) != 1 || string(got[0].Loser.Key) != name || (got[0].Loser.Stamp == w.Entries[0].Stamp) != (name == "here wins") {
			t.Fatalf("%s: %+v", name, got)
		}
		if again := page(w); name == "here loses" && len(again) > 0 {
			t.Errorf("the writer of the loser is told again: %+v", again)
		}
	}
	if kept := lost(t, here); len(kept) != 1 || string(kept[0].Entry.Value) != "from here" {
		t.Errorf("kept are %+v", kept)
	}
	check(t, here)
}
