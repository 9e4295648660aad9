package simnet_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"replicator/oplog"
	syncer "replicator/sync"
	"replicator/sync/simnet"
)

// restored makes a fleet in which a's disk is that of its fifth write, while b
// knows nine.
func restored(t *testing.T) (s *scene, old oplog.Origin) {
	t.Helper()
	s = newScene(t, 2)
	for i := range 9 {
		s.put(a, fmt.Sprint("k", i+1), "v")
		if i == 4 {
			s.Run(time.Second)
			s.Node(a).Backup()
		}
	}
	s.Run(time.Second)
	old = s.bucket(a).Origin()
	s.Node(a).Restore()
	return s, old
}

// TestScenario16RestoreOldBackup: the restored node writes under a new epoch,
// the others keep 6 to 9, and it gets them back.
func TestScenario16RestoreOldBackup(t *testing.T) {
	s, old := restored(t)
	s.Node(a).Start()
	if got := s.bucket(a).Seq(old); got != 5 {
		t.Fatalf("restored to %d", got)
	}
	s.put(a, "new", "v")
	if s.bucket(a).Origin() == old || s.seq(a, a) != 1 {
		t.Errorf("writes on as %v at %d", s.bucket(a).Origin(), s.seq(a, a))
	}
	s.settles()
	for i := range 2 {
		if s.bucket(i).Seq(old) != 9 || s.bucket(i).Keys() != 10 {
			t.Errorf("%s has %d of nine, %d keys", s.Node(i).Name(), s.bucket(i).Seq(old), s.bucket(i).Keys())
		}
	}
}

// TestScenario17RestoreOfflineWrite: the restored node writes before it hears of
// anybody. Both its lost and its new writes stay, and no dot has two contents.
func TestScenario17RestoreOfflineWrite(t *testing.T) {
	s, old := restored(t)
	s.Part(a, b)
	s.Node(a).Start()
	for i := range 9 { // the seqs that a reused origin would give out again
		s.put(a, fmt.Sprint("offline", i+1), "v")
	}
	s.Run(time.Minute)
	s.settles()
	for i := range 2 {
		if s.bucket(i).Seq(old) != 9 || s.bucket(i).Keys() != 18 {
			t.Errorf("%s has %d of nine, %d keys", s.Node(i).Name(), s.bucket(i).Seq(old), s.bucket(i).Keys())
		}
	}
}

// TestScenario18CloneTwoInstances: a disk is copied, both start and write the
// same key. All become equal, both say so, and the younger takes no more writes.
func TestScenario18CloneTwoInstances(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			s := seeded(t, seed, 2)
			s.Node(a).Start()
			s.Node(b).Start()
			s.Run(5 * time.Second)
			s.cloned()
		})
	}
}

func (s *scene) cloned() {
	t := s.t
	t.Helper()
	s.put(a, "k", "v")
	s.Run(time.Second)
	s.Part(a, b)
	s.Node(a).Copy()
	s.Part(a, 2)
	s.Part(b, 2)
	s.put(a, "k", "original")
	s.put(2, "k", "copy")
	if s.bucket(a).Origin() == s.bucket(2).Origin() {
		t.Fatal("both write as one origin")
	}
	s.Heal()
	s.within(time.Minute, "equal", s.Settled)
	s.Run(2 * time.Minute)
	for i := range 3 {
		if s.value(i, "k") != "copy" || !s.bucket(i).Clock().Equal(s.bucket(a).Clock()) {
			t.Errorf("node %d: k is %q, clock %v", i, s.value(i, "k"), s.bucket(i).Clock())
		}
	}
	for _, i := range []int{a, 2} {
		if !slices.ContainsFunc(s.Node(i).Events(), func(r syncer.Raise) bool { return r.Kind == syncer.EventDuplicate }) {
			t.Errorf("instance %d says nothing of the other", i)
		}
	}
	s.put(a, "original", "writes on")
	s.put(2, "copy", "is fenced")
	if s.Stats.Count[simnet.Fences] != 1 || s.value(a, "original") == "-" || s.value(2, "copy") != "-" {
		t.Errorf("%d fenced; the older's write is %q, the younger's %q", s.Stats.Count[simnet.Fences], s.value(a, "original"), s.value(2, "copy"))
	}
	s.holds()
}
