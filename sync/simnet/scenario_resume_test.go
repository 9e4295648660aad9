package simnet_test

import (
	"fmt"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
)

// small makes donors cut their streams after a few pages.
func small(o *syncer.Options) {
	o.PageBytes, o.Window, o.CutBytes, o.LogOrderMax = 600, 1200, 20_000, 8
}

// fill writes so many keys at a and lets them arrive.
func (s *scene) fill(keys int) {
	for i := range keys {
		s.Node(a).Write("orders", store.Op{Key: fmt.Appendf(nil, "k%04d", i), Value: make([]byte, 20)})
		s.Run(time.Millisecond)
	}
	s.Run(5 * time.Second)
}

// TestScenario29BootstrapResumeMeet: an empty node takes thousands of keys in a
// stream that is cut again and again, from three donors that are written to
// meanwhile. At the end its clock is what all of them had in common; a pull of
// what is new closes the rest.
func TestScenario29BootstrapResumeMeet(t *testing.T) {
	const keys = 3000
	s := unstarted(t, 4, small)
	for i := range 3 {
		s.Node(i).Start()
	}
	s.fill(keys)
	s.Node(d).Start()
	cuts, donors := 0, map[int]bool{}
	common := oplog.Seq(1 << 62)
	ended := false
	s.taps(func(from, to int, m oplog.Message, deliver func()) {
		if to != d {
			if !ended || from != d {
				deliver()
			}
			return
		}
		switch m := m.(type) {
		case *oplog.Live:
			return
		case *oplog.Begin:
			common, donors[from] = min(common, m.Clock[s.bucket(a).Origin()]), true
		case *oplog.End:
			if ended = !m.Cut; !ended {
				cuts++
				s.changeDonor(from, cuts)
			}
		}
		deliver()
	})
	s.within(5*time.Minute, "the last donor is done", func() bool { return ended })
	s.within(time.Second, "the clock moves", func() bool { return s.seq(d, a) > 0 })
	if cuts < 3 || len(donors) < 3 || common >= s.bucket(a).Seq(s.bucket(a).Origin()) {
		t.Fatalf("%d cuts, %d donors, common to all %d of %d", cuts, len(donors), common, s.seq(a, a))
	}
	if got := s.seq(d, a); got != common {
		t.Errorf("clock %d, common to all donors is %d", got, common)
	}
	s.holds()
	s.settles()
}

// changeDonor has the donor of a stream that was cut written to and out of
// reach, but for the third.
func (s *scene) changeDonor(donor, cuts int) {
	for i := range 10 {
		s.Node(a).Write("orders", store.Op{Key: fmt.Appendf(nil, "k%04d", (cuts*7919+i*331)%3000), Value: fmt.Append(nil, cuts)})
	}
	if cuts == 1 || cuts == 3 {
		s.Part(donor, d)
	}
}

// TestScenario30BootstrapOverwriteBehindCursor: at one donor z is c's write, and
// stands behind the cursor in the log as by its key. At the next it is a's still,
// which in the log stands before the cursor. It is not lost.
func TestScenario30BootstrapOverwriteBehindCursor(t *testing.T) {
	s := unstarted(t, 4, rowsAPage, byKey)
	for i := range 3 {
		s.Node(i).Start()
	}
	s.Run(5 * time.Second)
	s.put(a, "k", "from a")
	s.put(a, "z", "from a")
	s.put(b, "m", "from b")
	s.Run(time.Second)
	s.Part(a, b)
	s.Part(a, c)
	s.put(c, "z", "from c")
	pages := 0
	s.drops(func(from, to int, m oplog.Message) bool {
		if to == d && from == b && only[*oplog.Page](m) {
			pages++
		}
		return pages > 2 && from == b || from == c || pages == 0 && from == a && to == d
	})
	s.Node(d).Start()
	s.within(time.Minute, "the first donor is cut off", func() bool { return pages > 2 })
	if s.value(d, "k") != "from a" || s.value(d, "m") != "from b" || s.value(d, "z") != "-" {
		t.Fatalf("k is %q, m is %q, z is %q", s.value(d, "k"), s.value(d, "m"), s.value(d, "z"))
	}
	s.Part(b, d)
	s.within(2*time.Minute, "the other donor is done", func() bool { return s.seq(d, a) > 0 })
	if s.seq(d, a) != 2 || s.seq(d, c) != 0 || s.value(d, "z") != "from a" {
		t.Errorf("clock %d and %d, z is %q", s.seq(d, a), s.seq(d, c), s.value(d, "z"))
	}
	s.holds()
	s.settles()
}

// TestScenario50CutDonor: the donor ends its stream early and is gone. The
// puller goes on behind the cursor with another, and is complete.
func TestScenario50CutDonor(t *testing.T) {
	const keys = 1000
	s := newScene(t, 3, small)
	s.Node(c).Crash()
	s.fill(keys)
	s.Node(c).Start()
	gone, behind, again := -1, 0, 0
	s.taps(func(from, to int, m oplog.Message, deliver func()) {
		switch m := m.(type) {
		case *oplog.End:
			if m.Cut && gone < 0 {
				gone = from
				s.Part(from, c)
			}
		case *oplog.Page:
			if gone >= 0 && from != gone && to == c {
				behind++
				if string(m.Entries[0].Key) == "k0000" {
					again++
				}
			}
		}
		deliver()
	})
	s.within(2*time.Minute, "all keys are there", func() bool { return s.bucket(c).Keys() == keys && s.seq(c, a) == keys })
	if gone < 0 || behind == 0 || again > 0 {
		t.Errorf("cut by %d, %d pages from the other, %d times from the first key", gone, behind, again)
	}
	s.holds()
	s.settles()
}
