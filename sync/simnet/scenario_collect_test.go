package simnet_test

import (
	"fmt"
	"testing"
	"time"

	"replicator/oplog"
	syncer "replicator/sync"
	"replicator/sync/simnet"
)

// TestScenario21GCReportIsDurable: a member covers a tombstone that is not on
// its disk. Its report does not, and nobody drops the tombstone.
func TestScenario21GCReportIsDurable(t *testing.T) {
	s := newScene(t, 2)
	s.put(a, "k", "v")
	s.Run(2 * time.Second)
	s.Node(b).Brake(20 * time.Minute)
	s.drops(func(_, to int, m oplog.Message) bool { return to == b && only[*oplog.Pull](m) }) // serving one would sync
	s.Node(a).Write("orders", deletes("k"))
	s.within(5*time.Minute, "b covers the tombstone", func() bool { return s.seq(b, a) == 2 })
	s.Run(10 * time.Minute)
	if s.bucket(b).DurableClock()[s.bucket(a).Origin()] != 1 {
		t.Fatal("the tombstone is on the disk of b")
	}
	if s.bucket(a).Tombstones() != 1 {
		t.Error("dropped, though a crash of b brings the key back")
	}
	s.Node(b).Crash()
	s.Node(b).Start()
	s.settles()
	s.Run(10 * time.Minute)
	if s.value(b, "k") != "-" || s.bucket(a).Tombstones() != 0 || s.Stats.Count[simnet.Reconciles] != 0 {
		t.Errorf("k is %q, %d tombstones, %d reconciles", s.value(b, "k"), s.bucket(a).Tombstones(), s.Stats.Count[simnet.Reconciles])
	}
}

// TestScenario22GCLateChunk: a page of an old snapshot is late. Meanwhile the
// key was deleted and the tombstone collected. What the page brings is covered,
// and ignored.
func TestScenario22GCLateChunk(t *testing.T) {
	s := newScene(t, 2, func(o *syncer.Options) { o.AnswerTimeout = time.Hour })
	var put func()
	var late []func()
	s.taps(func(_, to int, m oplog.Message, deliver func()) {
		switch live, isLive := m.(*oplog.Live); {
		case isLive && to == b && live.First == 1:
			put = deliver
		case to == b && (only[*oplog.Page](m) || only[*oplog.End](m)):
			late = append(late, deliver)
		default:
			deliver()
		}
	})
	s.put(a, "k", "v")
	s.within(10*time.Second, "a page is on its way", func() bool { return len(late) == 2 })
	put() // live brings it after all
	s.Run(time.Second)
	s.Node(a).Write("orders", deletes("k"))
	s.within(10*time.Minute, "the tombstone is collected", func() bool { return s.seq(b, a) == 2 && s.bucket(b).Tombstones() == 0 })
	before := s.bucket(b).Digest()
	for _, deliver := range late {
		deliver()
		s.Run(time.Second)
	}
	if s.Node(b).Engine().Bucket("orders").Pull != nil {
		t.Error("the pull did not end")
	}
	if s.value(b, "k") != "-" || !s.bucket(b).Digest().Same(before) || s.Stats.Count[simnet.Reissued] > 0 {
		t.Errorf("k is %q, %d writes issued again", s.value(b, "k"), s.Stats.Count[simnet.Reissued])
	}
	s.holds()
	s.settles()
}

// TestScenario36HashEqualOnEqualClock: whenever two nodes of a random history
// have equal clocks and no extras, all their hash parts are equal.
func TestScenario36HashEqualOnEqualClock(t *testing.T) {
	compared := 0
	for seed := range uint64(20) {
		w := simnet.NewWorld(seed, simnet.Config{Nodes: 4, Buckets: []string{"orders"}, Loss: 0.1, Double: 0.1, Reorder: 0.1})
		t.Cleanup(w.End)
		s := &scene{World: w, t: t}
		for i := range 4 {
			s.Node(i).Start()
		}
		for turn := range 100 {
			i := turn * 7 % 4
			if turn%3 == 0 {
				s.del(i, fmt.Sprint("k", turn*5%11))
			} else {
				s.put(i, fmt.Sprint("k", turn*3%11), fmt.Sprint(turn))
			}
			if turn%10 == 0 {
				s.Run(2 * time.Second)
			}
			compared += s.partsOfEqualClocks()
		}
		s.settles()
	}
	if compared < 1000 {
		t.Errorf("only %d pairs of equal clocks", compared)
	}
}

// partsOfEqualClocks compares the hash parts of all pairs with equal clocks, and
// counts those that have some writes.
func (s *scene) partsOfEqualClocks() (pairs int) {
	s.t.Helper()
	for i := range 4 {
		for j := range i {
			one, other := s.bucket(i), s.bucket(j)
			if len(one.Ahead())+len(other.Ahead()) > 0 || len(one.Clock()) == 0 || !one.Clock().Equal(other.Clock()) {
				continue
			}
			pairs++
			if one.Parts() != other.Parts() {
				s.t.Fatalf("equal clocks %v, other hash parts", one.Clock())
			}
		}
	}
	return pairs
}
