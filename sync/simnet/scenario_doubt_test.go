package simnet_test

import (
	"fmt"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/sync/simnet"
)

// doubting is a fleet that holds k00 to k19 and lets no more than a tenth of them
// go on the word of one donor.
func doubting(t *testing.T, nodes int) *scene {
	t.Helper()
	w := simnet.NewWorld(1, simnet.Config{
		Nodes: nodes, Buckets: []string{"orders"}, DelayMax: time.Millisecond, DoubtFloor: -1,
	})
	t.Cleanup(w.End)
	s := &scene{World: w, t: t}
	for i := range nodes {
		s.Node(i).Start()
	}
	s.Run(5 * time.Second)
	s.Node(a).Backup() // of no rows
	for i := range 20 {
		s.put(a, fmt.Sprintf("k%02d", i), "v")
	}
	s.Run(2 * time.Second)
	return s
}

// without is such a fleet whose last node was away while node a deleted the first
// n keys, which the others have collected. It is still cut off.
func without(t *testing.T, nodes, n int) *scene {
	t.Helper()
	s := doubting(t, nodes)
	away := nodes - 1
	for i := range away {
		s.Part(i, away)
	}
	s.Run(time.Minute)
	for i := range n {
		s.del(a, fmt.Sprintf("k%02d", i))
	}
	s.Run(time.Second)
	for i := range away {
		s.Node(i).Collect("orders")
		if s.bucket(i).Tombstones() != 0 || int(s.bucket(i).Keys()) != 20-n {
			t.Fatalf("%s holds %d rows", s.Node(i).Name(), s.bucket(i).Keys())
		}
	}
	if s.bucket(away).Keys() != 20 {
		t.Fatalf("%d rows at the node that is away", s.bucket(away).Keys())
	}
	return s
}

// loses takes k05 to k19 off the disk of node i, and makes its sums say so.
func (s *scene) loses(i int) {
	s.t.Helper()
	for k := 5; k < 20; k++ {
		if !s.Node(i).Lose("orders", fmt.Sprintf("k%02d", k)) {
			s.t.Fatal("no row to lose")
		}
	}
	scrubs := s.Stats.Count[simnet.Scrubs]
	s.Node(i).Scrub("orders")
	s.within(time.Minute, "a scrub ends", func() bool { return s.Stats.Count[simnet.Scrubs] > scrubs })
}

// doubts waits until node i doubts a reconcile, with donor if one is named.
func (s *scene) doubts(i int, donor string) {
	s.t.Helper()
	s.within(2*time.Minute, "a reconcile is doubted", func() bool {
		d := s.Node(i).Engine().Bucket("orders").Doubt
		return d != nil && (donor == "" || d.Donors[0] == donor)
	})
}

// meets lets no messages through but those between c and node i.
func (s *scene) meets(i int) {
	s.drops(func(from, to int, _ oplog.Message) bool { return from != i && from != c || to != i && to != c })
}

// keeps fails if node i has fewer than n rows before the time is over.
func (s *scene) keeps(i, n int, d time.Duration) {
	s.t.Helper()
	if s.RunUntil(s.Now().Add(d), func() bool { return int(s.bucket(i).Keys()) < n }) {
		s.t.Fatalf("%s holds only %d rows", s.Node(i).Name(), s.bucket(i).Keys())
	}
}

// TestDonorThatLostMostRowsIsNotBelieved is C7: rows are gone from a donor's
// disk, and its sums have been made to say so. Another has them, and is asked.
func TestDonorThatLostMostRowsIsNotBelieved(t *testing.T) {
	s := without(t, 3, 1)
	s.Part(a, b)
	s.loses(b)
	s.meets(b)
	s.Heal()
	s.doubts(c, "b")
	s.keeps(c, 20, 5*time.Minute)
	s.Tap = nil
	s.keeps(c, 19, 5*time.Minute)
	s.settles()
	for i := range 3 {
		if s.bucket(i).Keys() != 19 || s.value(i, "k00") != "-" {
			t.Errorf("%s holds %d rows, k00 %q", s.Node(i).Name(), s.bucket(i).Keys(), s.value(i, "k00"))
		}
	}
}

// TestSecondDonorThatLostEvenMore is no confirmation of what the first said; the
// first is one of what it says itself.
func TestSecondDonorThatLostEvenMore(t *testing.T) {
	for _, first := range []int{a, b} {
		t.Run(fmt.Sprint("first ", first), func(t *testing.T) {
			s := without(t, 3, 4)
			s.Part(a, b)
			s.loses(b)
			s.meets(first)
			s.Heal()
			s.doubts(c, s.Node(first).Name())
			second := a + b - first
			s.drops(func(from, to int, _ oplog.Message) bool { return from != c && to != c }) // a and b would repair each other
			if first == a {
				s.meets(second)
				s.doubts(c, "b")
				s.drops(func(from, to int, _ oplog.Message) bool { return from != c && to != c })
			}
			s.keeps(c, 16, time.Minute)
			s.settles()
			if s.bucket(c).Keys() != 16 || s.Stats.Count[simnet.Accepted] > 0 {
				t.Errorf("%d rows", s.bucket(c).Keys())
			}
		})
	}
}

// TestTwoDonorsAgree: what two say was deleted goes, many rows or not.
func TestTwoDonorsAgree(t *testing.T) {
	s := without(t, 3, 10)
	s.Heal()
	s.settles()
	for i := range 3 {
		if s.bucket(i).Keys() != 10 {
			t.Errorf("%s holds %d rows", s.Node(i).Name(), s.bucket(i).Keys())
		}
	}
	if doubted, seconded := s.Stats.Count[simnet.Doubted], s.Stats.Count[simnet.Seconded]; doubted != 1 || seconded != 1 {
		t.Errorf("doubted %d times, seconded %d times", doubted, seconded)
	}
}

// TestOneDonorAloneWaitsForTheOperator, over a restart too, and asks the donor
// for nothing meanwhile.
func TestOneDonorAloneWaitsForTheOperator(t *testing.T) {
	s := without(t, 2, 10)
	s.Heal()
	s.doubts(b, "a")
	s.Node(b).Crash()
	s.Node(b).Start()
	s.doubts(b, "a")
	s.put(a, "new", "v")
	s.put(b, "own", "v")
	reconciles, pages := s.Stats.Count[simnet.Reconciles], s.Stats.Count[simnet.Pages]
	s.keeps(b, 21, time.Hour)
	if !s.bucket(b).Reconciling() || s.Stats.Count[simnet.Reconciles] != reconciles || s.Stats.Count[simnet.Pages] > pages+2 {
		t.Errorf("reconciling %v, %d more reconciles, %d more pages", s.bucket(b).Reconciling(), s.Stats.Count[simnet.Reconciles]-reconciles, s.Stats.Count[simnet.Pages]-pages)
	}
	if d := s.Node(b).Engine().Bucket("orders").Doubt; d == nil || d.Removes != 10 || d.Rows != 20 {
		t.Errorf("waits with %+v", d)
	}
	if !s.Node(b).Accept("orders") {
		t.Fatal("nothing waits")
	}
	s.settles()
	if s.bucket(b).Keys() != 12 || s.value(a, "own") != "v" || s.Node(b).Accept("orders") {
		t.Errorf("%d rows, own is %q at the donor", s.bucket(b).Keys(), s.value(a, "own"))
	}
}

// TestPeerThatWasAwayTooIsNoSecondDonor: it has not seen the deletes either, and
// what it still holds proves nothing.
func TestPeerThatWasAwayTooIsNoSecondDonor(t *testing.T) {
	s := doubting(t, 3)
	s.Node(b).Stop()
	s.Node(c).Stop()
	for i := range 10 {
		s.del(a, fmt.Sprintf("k%02d", i))
	}
	s.Node(a).Collect("orders")
	s.Node(b).Start()
	s.Node(c).Start()
	s.doubts(b, "a")
	s.doubts(c, "a")
	reconciles := s.Stats.Count[simnet.Reconciles]
	s.put(c, "own", "v")
	for range 60 {
		s.keeps(b, 20, time.Minute)
		s.keeps(c, 20, 0)
	}
	if n := s.Stats.Count[simnet.Reconciles]; n != reconciles {
		t.Errorf("%d more reconciles", n-reconciles)
	}
	s.Node(b).Accept("orders")
	s.settles() // b is the other's second donor now
	if n := s.Stats.Count[simnet.Accepted]; s.bucket(c).Keys() != 11 || n != 1 {
		t.Errorf("%d rows, %d accepted", s.bucket(c).Keys(), n)
	}
}

// TestVerdictsOfAnEarlierLifeAreNobodys: a process that goes on where an earlier
// one stopped does not know who said what, and asks anew.
func TestVerdictsOfAnEarlierLifeAreNobodys(t *testing.T) {
	s := without(t, 3, 1)
	s.Part(a, b)
	s.loses(b)
	s.meets(b)
	s.Heal()
	s.doubts(c, "b")
	s.Node(c).Stop()
	s.meets(a)
	s.Node(c).Start()
	s.keeps(c, 19, 2*time.Minute)
	if s.bucket(c).Reconciling() || s.bucket(c).Keys() != 19 || s.value(c, "k00") != "-" {
		t.Errorf("reconciling %v, %d rows", s.bucket(c).Reconciling(), s.bucket(c).Keys())
	}
	s.settles()
	if s.bucket(b).Keys() != 19 {
		t.Errorf("%d rows where they were lost", s.bucket(b).Keys())
	}
}

// TestDoubtEndsWithAnotherDiskOfTheDonor: the operator has given the donor an
// empty disk instead of the one that lost rows, and restarts the node that waits.
func TestDoubtEndsWithAnotherDiskOfTheDonor(t *testing.T) {
	s := without(t, 2, 10)
	s.Heal()
	s.doubts(b, "a")
	s.Node(a).Restore()
	if s.Node(a).Start(); s.bucket(a).Keys() != 0 {
		t.Fatal("the disk is not empty")
	}
	s.within(time.Minute, "it is filled", func() bool { return s.bucket(a).Keys() == 20 })
	s.keeps(b, 20, 5*time.Minute)
	s.Node(b).Stop()
	s.Node(b).Start()
	s.settles()
	if n := s.bucket(b).Keys(); n != 20 || s.Node(b).Engine().Bucket("orders").Doubt != nil {
		t.Errorf("%d rows", n)
	}
}

// TestTwoDonorsThatLostOtherRowsAreNotBelieved: b has lost k05 to k11, a k12 to k18. Neither
// says what the other says, but as many.
func TestTwoDonorsThatLostOtherRowsAreNotBelieved(t *testing.T) {
	s := without(t, 3, 1)
	s.Part(a, b)
	lose := func(i, from, to int) {
		for k := from; k <= to; k++ {
			if !s.Node(i).Lose("orders", fmt.Sprintf("k%02d", k)) {
				t.Fatal("no row to lose")
			}
		}
		scrubs := s.Stats.Count[simnet.Scrubs]
		s.Node(i).Scrub("orders")
		s.within(time.Minute, "a scrub ends", func() bool { return s.Stats.Count[simnet.Scrubs] > scrubs })
	}
	lose(b, 5, 11)
	lose(a, 12, 18)
	s.meets(b)
	s.Heal()
	s.doubts(c, "b")
	s.meets(a)
	gone := s.RunUntil(s.Now().Add(5*time.Minute), func() bool { return s.bucket(c).Keys() < 19 })
	if gone {
		t.Errorf("%d rows left at c: k12 is %q there though b, which is doubted, holds it: %q; reconciling %v",
			s.bucket(c).Keys(), s.value(c, "k12"), s.value(b, "k12"), s.bucket(c).Reconciling())
	}
}
