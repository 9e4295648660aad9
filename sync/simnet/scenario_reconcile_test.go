package simnet_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
	"replicator/sync/simnet"
)

// behind makes a fleet in which c was away while the deletes of k1-gone to k3-gone
// were made and collected by the others. All of them hold k1-kept to k3-kept.
func behind(t *testing.T, tune ...func(*syncer.Options)) *scene {
	t.Helper()
	s := newScene(t, 3, tune...)
	for i := range 3 {
		s.put(a, fmt.Sprintf("k%d-gone", i+1), "v")
		s.put(b, fmt.Sprintf("k%d-kept", i+1), "v")
	}
	s.Run(2 * time.Second)
	s.Part(a, c)
	s.Part(b, c)
	s.Run(time.Minute)
	for i := range 3 {
		s.del(b, fmt.Sprintf("k%d-gone", i+1))
	}
	s.Run(time.Second)
	s.Node(a).Collect("orders")
	s.Node(b).Collect("orders")
	s.Run(time.Second)
	if n := s.bucket(a).Tombstones() + s.bucket(b).Tombstones(); n != 0 || s.bucket(c).Keys() != 6 {
		t.Fatalf("%d tombstones, %d keys at the node that is away", n, s.bucket(c).Keys())
	}
	return s
}

// goneAre wants the deleted keys to be gone everywhere and the others there.
func (s *scene) goneAre() {
	s.t.Helper()
	for i := range 3 {
		for k := range 3 {
			if gone, kept := s.value(i, fmt.Sprintf("k%d-gone", k+1)), s.value(i, fmt.Sprintf("k%d-kept", k+1)); gone != "-" || kept != "v" {
				s.t.Errorf("%s: k%d-gone is %q, k%d-kept is %q", s.Node(i).Name(), k+1, gone, k+1, kept)
			}
		}
	}
}

// TestScenario19RestoredBelowGC: a delete was collected everywhere, and an older
// disk comes back with the live key. It reconciles, and the key is gone.
func TestScenario19RestoredBelowGC(t *testing.T) {
	s := newScene(t, 3)
	s.put(a, "gone", "v")
	s.put(a, "kept", "v")
	s.Run(2 * time.Second)
	s.Node(c).Backup()
	s.del(a, "gone")
	s.Run(5 * time.Minute)
	for i := range 3 {
		if s.bucket(i).Tombstones() != 0 {
			t.Fatalf("%s has not collected", s.Node(i).Name())
		}
	}
	s.Node(c).Restore()
	s.Node(c).Start()
	if s.value(c, "gone") != "v" {
		t.Fatal("the older disk does not hold the key")
	}
	s.settles()
	for i := range 3 {
		if s.value(i, "gone") != "-" || s.value(i, "kept") != "v" {
			t.Errorf("%s: gone is %q, kept is %q", s.Node(i).Name(), s.value(i, "gone"), s.value(i, "kept"))
		}
	}
	if n := s.Stats.Count[simnet.Reconciles]; n != 1 {
		t.Errorf("%d reconciles, want 1", n)
	}
}

// TestScenario25EvictRejoinAmbiguous: while away a node wrote a key before the
// time of a delete that was collected. Whether it was meant is not to be known:
// the write is issued again, once, and all agree on it.
func TestScenario25EvictRejoinAmbiguous(t *testing.T) {
	s := newScene(t, 3)
	s.put(a, "gone", "v")
	s.Run(2 * time.Second)
	s.Part(a, c)
	s.Part(b, c)
	s.put(c, "unseen", "v")
	old, _ := s.row(c, "unseen")
	s.Run(time.Minute)
	s.del(b, "gone")
	s.Run(time.Second)
	s.Node(a).Collect("orders")
	s.Node(b).Collect("orders")
	s.settles()
	for i := range 3 {
		e, _ := s.row(i, "unseen")
		if s.value(i, "gone") != "-" || string(e.Value) != "v" || e.Prev != old.Stamp || e.Stamp.HLC <= s.bucket(a).Guard() {
			t.Errorf("%s: gone is %q, unseen %s instead of %s", s.Node(i).Name(), s.value(i, "gone"), e.Stamp, e.Prev)
		}
	}
	if n := s.Stats.Count[simnet.Reissued]; n != 1 {
		t.Errorf("%d writes issued again, want 1", n)
	}
}

// TestScenario26ForcedGCConverges: tombstones are collected whoever may not have
// them, beside crashes, cuts, losses and older disks. In the end all are equal.
func TestScenario26ForcedGCConverges(t *testing.T) {
	var sum simnet.Stats
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := simnet.NewWorld(seed, simnet.Config{
				Nodes: 4, Buckets: []string{"orders"}, Loss: 0.2, Double: 0.1, Reorder: 0.2, Collect: true, Restore: true,
			})
			t.Cleanup(w.End)
			s := &scene{World: w, t: t}
			rnd := rand.New(rand.NewPCG(seed, 26))
			for range 150 {
				s.anything(s.Node(rnd.IntN(4)), rnd)
				s.Run(time.Duration(rnd.IntN(400)) * time.Millisecond)
				s.holds()
			}
			s.Calm()
			s.settles()
			sum.Add(s.Stats)
		})
	}
	for _, kind := range []simnet.Kind{simnet.Forced, simnet.Reconciles, simnet.Reissued, simnet.Crashes, simnet.Restores} {
		if sum.Count[kind] == 0 {
			t.Errorf("%s: none", kind)
		}
	}
}

// anything is one turn of a rough life.
func (s *scene) anything(n *simnet.Node, rnd *rand.Rand) {
	key := fmt.Appendf(nil, "k%d", rnd.IntN(6))
	switch rnd.IntN(12) {
	case 0:
		n.Crash()
	case 1:
		s.Part(number(n), (number(n)+1)%4)
	case 2:
		s.Heal()
	case 3:
		n.Backup()
	case 4:
		n.Restore()
	case 5, 6:
		n.Collect("orders")
	case 7:
		n.Write("orders", store.Op{Key: key, Delete: true})
	case 8, 9:
		n.Write("orders", store.Op{Key: key, Value: fmt.Append(nil, rnd.IntN(1000))})
	default:
		n.Start()
	}
}

// TestScenario27ReconcileCutAndSwitchPeer: a reconcile is cut at each key and
// goes on with another donor, as good or worse than the first. Nothing is
// carried out before one of them was compared with to its end.
func TestScenario27ReconcileCutAndSwitchPeer(t *testing.T) {
	for _, worse := range []bool{false, true} {
		for cut := range 4 {
			t.Run(fmt.Sprint("cut ", cut, " worse ", worse), func(t *testing.T) {
				s := behind(t, rowsAPage)
				if worse { // what b has collected since, a has not seen
					s.Part(a, b)
					s.del(b, "k1-kept")
					s.Node(b).Collect("orders")
				}
				pages, ended := 0, false
				s.drops(func(from, to int, m oplog.Message) bool {
					if to == c && from == b && only[*oplog.Page](m) {
						pages++
					}
					ended = ended || to == c && only[*oplog.End](m) && pages <= cut
					return pages > cut && (from == b || to == b) || pages <= cut && from == a && to == c
				})
				s.Heal()
				if worse {
					s.Part(a, b)
				}
				s.within(2*time.Minute, "the stream is cut", func() bool { return pages > cut || ended })
				if !ended && (s.value(c, "k1-gone") != "v" || s.bucket(c).Keys() != 6) {
					t.Fatalf("carried out before the end: k1-gone is %q", s.value(c, "k1-gone"))
				}
				s.holds()
				s.Run(time.Minute)
				s.holds()
				s.settles()
				if worse {
					if s.value(a, "k1-kept") != "-" || s.value(c, "k1-kept") != "-" || s.value(c, "k1-gone") != "-" {
						t.Errorf("k1-kept is %q and %q, k1-gone is %q", s.value(a, "k1-kept"), s.value(c, "k1-kept"), s.value(c, "k1-gone"))
					}
					return
				}
				s.goneAre()
			})
		}
	}
}

// TestScenario28ReconcileLocalWriteDuring: a key that is to be removed is
// written before the end. The new write stays.
func TestScenario28ReconcileLocalWriteDuring(t *testing.T) {
	s := behind(t, rowsAPage)
	var end func()
	s.taps(func(_, to int, m oplog.Message, deliver func()) {
		if to == c && only[*oplog.End](m) && end == nil {
			end = deliver
			return
		}
		deliver()
	})
	s.Heal()
	s.within(time.Minute, "a reconcile comes to its end", func() bool { return end != nil })
	s.Run(100 * time.Millisecond)
	if !s.bucket(c).Reconciling() || s.value(c, "k1-gone") != "v" {
		t.Fatalf("reconciling %v, k1-gone is %q", s.bucket(c).Reconciling(), s.value(c, "k1-gone"))
	}
	s.put(c, "k1-gone", "new")
	end()
	s.Run(time.Second)
	if s.value(c, "k1-gone") != "new" || s.value(c, "k2-gone") != "-" {
		t.Errorf("k1-gone is %q, k2-gone is %q", s.value(c, "k1-gone"), s.value(c, "k2-gone"))
	}
	s.settles()
	if s.value(a, "k1-gone") != "new" {
		t.Errorf("k1-gone is %q at the donor", s.value(a, "k1-gone"))
	}
}
