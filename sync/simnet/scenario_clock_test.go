package simnet_test

import (
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
	"replicator/sync/simnet"
)

const year = 365 * 24 * time.Hour

// near reports whether a timestamp is not further than the drift bound, and a
// minute, ahead of the world's time.
func (s *scene) near(hlc oplog.HLC) bool { return hlc < oplog.HLCAt(s.Now().Add(6*time.Minute)) }

// TestScenario31FutureClockPoison: a clock runs a year ahead. Its write is
// stored as it is, can be overwritten by anyone, and draws nobody's clock along.
func TestScenario31FutureClockPoison(t *testing.T) {
	s := newScene(t, 3)
	s.Node(a).SetClock(year)
	s.put(a, "k", "future")
	s.put(a, "stays", "future")
	first, _ := s.row(a, "k")
	for i := range 3 {
		if e, _ := s.row(i, "k"); e.Stamp != first.Stamp || s.near(e.Stamp.HLC) {
			t.Errorf("%s holds %s of %s", s.Node(i).Name(), e.Stamp, first.Stamp)
		}
	}
	s.put(b, "k", "over it")
	s.put(b, "other", "v")
	for i := range 3 {
		if s.value(i, "k") != "over it" || s.value(i, "stays") != "future" {
			t.Errorf("%s: k is %q, stays is %q", s.Node(i).Name(), s.value(i, "k"), s.value(i, "stays"))
		}
	}
	for _, i := range []int{b, c} {
		if !s.near(s.bucket(i).HLC()) {
			t.Errorf("the clock of %s went to %s", s.Node(i).Name(), s.bucket(i).HLC())
		}
	}
	s.settles()
}

// TestScenario32ClockBehindHours: a clock three hours behind overwrites a row it
// has seen. Its write wins.
func TestScenario32ClockBehindHours(t *testing.T) {
	s := newScene(t, 2)
	s.Node(b).Crash()
	s.Node(b).SetClock(-3 * time.Hour)
	s.Node(b).Start()
	s.put(a, "k", "seen")
	s.within(10*time.Second, "b sees it", func() bool { return s.value(b, "k") == "seen" })
	s.put(b, "k", "by the slow clock")
	for i := range 2 {
		if s.value(i, "k") != "by the slow clock" {
			t.Errorf("%s: %q", s.Node(i).Name(), s.value(i, "k"))
		}
	}
	s.settles()
}

// TestScenario33TombstoneFutureWaits: a tombstone an hour ahead is at all nodes.
// It is dropped only once all have passed its time.
func TestScenario33TombstoneFutureWaits(t *testing.T) {
	s := newScene(t, 3)
	s.Node(a).SetClock(time.Hour)
	s.put(a, "k", "v")
	s.del(a, "k")
	s.Node(a).SetClock(0)
	tombstones := func(want uint64) {
		t.Helper()
		for i := range 3 {
			if n := s.bucket(i).Tombstones(); n != want {
				t.Fatalf("after %s: %s holds %d tombstones, want %d", s.Now().Sub(start), s.Node(i).Name(), n, want)
			}
		}
	}
	s.Run(50 * time.Minute)
	s.put(b, "tick", "v") // a floor follows the writes
	s.Run(30 * time.Minute)
	tombstones(1) // the time has come, but no floor tells so
	s.put(c, "tick", "v")
	s.Run(10 * time.Minute)
	tombstones(0)
	s.settles()
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestScenario34WriteAfterGCLowHLC: a tombstone was dropped, and the clock of who
// writes the key next lies hours below it. The write is later all the same.
func TestScenario34WriteAfterGCLowHLC(t *testing.T) {
	s := newScene(t, 2)
	s.put(a, "k", "v")
	s.Run(2 * time.Second)
	s.Node(b).Crash()
	s.Run(time.Minute)
	s.del(a, "k")
	gone, _ := s.row(a, "k")
	s.Run(time.Second)
	s.Node(a).Collect("orders")
	s.Node(b).SetClock(-3 * time.Hour)
	s.Node(b).Start()
	s.within(time.Minute, "b learns of the collection", func() bool { return s.value(b, "k") == "-" })
	if s.bucket(b).Guard() < gone.Stamp.HLC || s.bucket(b).HLC() >= gone.Stamp.HLC {
		t.Fatalf("guard %s and clock %s, the tombstone was %s", s.bucket(b).Guard(), s.bucket(b).HLC(), gone.Stamp)
	}
	s.put(b, "k", "again")
	if e, _ := s.row(b, "k"); e.Stamp.HLC <= gone.Stamp.HLC {
		t.Errorf("%s is not later than %s", e.Stamp, gone.Stamp)
	}
	s.within(time.Minute, "a has it", func() bool { return s.value(a, "k") == "again" })
	s.settles()
	if s.Stats.Count[simnet.Reissued] > 0 {
		t.Error("the write was taken for one that may have been deleted")
	}
}

// TestScenario35TTLExpiryNoWrite: a row expires at five nodes with clocks of
// their own. Each hides it by its own clock and writes nothing; later it is
// collected, and the hashes are equal throughout.
func TestScenario35TTLExpiryNoWrite(t *testing.T) {
	s := newScene(t, 5)
	skews := []time.Duration{-90 * time.Second, -30 * time.Second, 0, 30 * time.Second, 90 * time.Second}
	for i, skew := range skews {
		s.Node(i).SetClock(skew)
	}
	s.put(a, "stays", "v")
	expiry := s.Now().Add(10 * time.Minute)
	s.Node(c).Write("orders", store.Op{Key: []byte("k"), Value: []byte("v"), Expiry: expiry.UnixMilli()})
	s.Run(time.Minute)
	clock := s.bucket(a).Clock()
	rows := func(i int, now time.Time) (n int) {
		for _, err := range s.bucket(i).Scan(store.ScanOptions{Now: now}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	sees := map[int]bool{}
	for s.Now().Before(expiry.Add(3 * time.Minute)) {
		s.Run(10 * time.Second)
		shown := 0
		for i, skew := range skews {
			want := 1
			if s.Now().Add(skew).Before(expiry) {
				want = 2
				shown++
			}
			if got := rows(i, s.Now().Add(skew)); got != want {
				t.Fatalf("%s shows %d rows at its %s, want %d", s.Node(i).Name(), got, s.Now().Add(skew), want)
			}
		}
		sees[shown] = true
	}
	if len(sees) != 6 {
		t.Errorf("only %v nodes showed the row at a time: their clocks do not differ", sees)
	}
	s.Run(15 * time.Minute)
	for i := range skews {
		left := rows(i, time.Time{})
		if left != 1 || !s.bucket(i).Clock().Equal(clock) || s.bucket(i).Digest().Sum != s.bucket(a).Digest().Sum {
			t.Errorf("%s: %d rows, clock %v of %v", s.Node(i).Name(), left, s.bucket(i).Clock(), clock)
		}
	}
	s.settles()
}

// TestScenario49FutureRowOverwritten: a row of next year is overwritten here.
// The next writes, here and elsewhere, have the time of the wall.
func TestScenario49FutureRowOverwritten(t *testing.T) {
	s := newScene(t, 3)
	s.Node(a).SetClock(year)
	s.put(a, "k", "future")
	s.put(b, "k", "over it")
	s.put(b, "next here", "v")
	s.put(c, "next there", "v")
	over, _ := s.row(b, "k")
	if s.near(over.Stamp.HLC) || s.value(c, "k") != "over it" {
		t.Fatalf("the overwrite %s did not win", over.Stamp)
	}
	for _, key := range []string{"next here", "next there"} {
		if e, ok := s.row(c, key); !ok || !s.near(e.Stamp.HLC) {
			t.Errorf("%s is stamped %s", key, e.Stamp)
		}
	}
	s.settles()
}
