package simnet_test

import (
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
	"replicator/sync/simnet"
)

// TestHeirWithABadRow: b knows that its row has rotted, and is about to ask a for
// it. It is no heir of a.
func TestHeirWithABadRow(t *testing.T) {
	for seed := range uint64(20) {
		w := simnet.NewWorld(seed, simnet.Config{Nodes: 2, Buckets: []string{"orders"}, DelayMax: time.Millisecond, Away: 10 * time.Minute})
		t.Cleanup(w.End)
		s := &scene{World: w, t: t}
		s.Node(a).Start()
		s.Node(b).Start()
		s.Run(5 * time.Second)
		s.put(a, "k", "v")
		s.Run(5 * time.Second)
		if !s.Node(b).Flip("orders", "k") {
			t.Fatal("no row to damage")
		}
		s.Node(b).Scrub("orders")
		s.Node(a).Part("orders")
		known := false
		s.RunUntil(s.Now().Add(5*time.Second), func() bool {
			known = known || len(s.bucket(b).Sums().Bad) > 0
			return left(s, a)
		})
		bad := len(s.bucket(b).Sums().Bad)
		s.Run(2 * time.Minute)
		e, ok, err := s.bucket(b).Get([]byte("k"))
		if err != nil || !ok || string(e.Value) != "v" {
			t.Errorf("seed %d: a left %v though b knew of %d bad parts (%v); now b has %q, %v, %v", seed, left(s, a), bad, known, e.Value, ok, err)
		}
	}
}

// TestHeirPartsBeforeItHasAll: d wrote w, which only a heard, and its disk died. a
// parts with w; b says that it keeps the bucket, parts as well, and only then fetches w.
func TestHeirPartsBeforeItHasAll(t *testing.T) {
	w := simnet.NewWorld(1, simnet.Config{Nodes: 4, Buckets: []string{"orders"}, DelayMax: time.Millisecond, Away: 10 * time.Minute})
	t.Cleanup(w.End)
	s := &scene{World: w, t: t}
	for i := range 4 {
		s.Node(i).Start()
	}
	s.Run(5 * time.Second)
	s.put(d, "k", "v")
	s.Run(20 * time.Second)
	var pulls []func()
	hold := true
	s.taps(func(from, to int, m oplog.Message, deliver func()) {
		_, live := m.(*oplog.Live)
		_, pull := m.(*oplog.Pull)
		_, report := m.(*oplog.Report)
		switch {
		case live && from == d && to != a: // a alone hears it
		case pull && from == c, from == d && to == c, from == c && to == d: // c cannot pull
		case report && from == a && to == c: // nor hears of it
		case from == c && to == b && only[*oplog.HelloReply](m) && !left(s, a): // c is slow
		case pull && from == b && hold:
			pulls = append(pulls, deliver)
		default:
			deliver()
		}
	})
	s.Node(a).Part("orders")
	s.Run(90 * time.Millisecond)
	s.Node(d).Write("orders", put1("w"))
	s.Run(40 * time.Millisecond)
	if s.value(a, "w") != "v" || s.value(b, "w") != "-" {
		t.Fatalf("w: %q at a, %q at b", s.value(a, "w"), s.value(b, "w"))
	}
	s.Node(d).Crash()
	s.Node(b).Part("orders") // its look is 200 ms from now, that of a 70 ms from now
	s.Run(230 * time.Millisecond)
	t.Log("at 360 ms b lacks", s.Node(b).Engine().Lacking(), "w at b:", s.value(b, "w"), "held pulls:", len(pulls))
	hold = false
	for _, deliver := range pulls {
		deliver()
	}
	s.RunUntil(s.Now().Add(15*time.Second), func() bool { return left(s, a) && left(s, b) })
	if !left(s, b) {
		t.Log("b lacks", s.Node(b).Engine().Lacking(), s.value(b, "w"))
	}
	t.Log("left:", left(s, a), left(s, b), "c:", s.value(c, "w"))
	if left(s, a) && left(s, b) && s.value(c, "w") != "v" {
		t.Error("w was on the disks of a and b, which have left the bucket, and nobody has it")
	}
}

func put1(key string) store.Op { return store.Op{Key: []byte(key), Value: []byte("v")} }
