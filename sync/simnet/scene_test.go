package simnet_test

import (
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
	"replicator/sync/simnet"
)

// A scene is a small fleet without faults, in which a test says what happens.
// Its nodes are a, b, c ...
type scene struct {
	*simnet.World
	t *testing.T
}

const (
	a = iota
	b
	c
	d
)

// newScene starts n nodes and lets them find each other.
func newScene(t *testing.T, n int, tune ...func(*syncer.Options)) *scene {
	t.Helper()
	s := unstarted(t, n, tune...)
	for i := range n {
		s.Node(i).Start()
	}
	s.Run(5 * time.Second)
	return s
}

func unstarted(t *testing.T, n int, tune ...func(*syncer.Options)) *scene {
	t.Helper()
	return seeded(t, 1, n, tune...)
}

func seeded(t *testing.T, seed uint64, n int, tune ...func(*syncer.Options)) *scene {
	t.Helper()
	w := simnet.NewWorld(seed, simnet.Config{
		Nodes: n, Buckets: []string{"orders"}, DelayMax: time.Millisecond,
		Tune: func(n *simnet.Node) {
			for _, change := range tune {
				change(&n.Options)
			}
		},
	})
	t.Cleanup(w.End)
	return &scene{World: w, t: t}
}

// rowsAPage makes each page hold one row.
func rowsAPage(o *syncer.Options) { o.PageBytes = 1 }

// byKey makes pulls of more than one missing write come in key order.
func byKey(o *syncer.Options) { o.LogOrderMax = 1 }

func (s *scene) bucket(i int) *store.Bucket {
	s.t.Helper()
	b, ok := s.Node(i).Store().Bucket("orders")
	if !ok {
		s.t.Fatalf("%s does not hold the bucket", s.Node(i).Name())
	}
	return b
}

// put writes a key at a node and lets it reach the others.
func (s *scene) put(i int, key, value string) {
	s.Node(i).Write("orders", store.Op{Key: []byte(key), Value: []byte(value)})
	s.Run(20 * time.Millisecond)
}

func (s *scene) del(i int, key string) {
	s.Node(i).Write("orders", deletes(key))
	s.Run(20 * time.Millisecond)
}

func (s *scene) row(i int, key string) (oplog.Entry, bool) {
	s.t.Helper()
	e, ok, err := s.bucket(i).Get([]byte(key))
	if err != nil {
		s.t.Fatal(err)
	}
	return e, ok
}

// value is what a reader sees at node i: "-" for nothing.
func (s *scene) value(i int, key string) string {
	s.t.Helper()
	e, ok := s.row(i, key)
	if !ok || e.Tombstone {
		return "-"
	}
	return string(e.Value)
}

// seq is up to where node i covers what node j writes now.
func (s *scene) seq(i, j int) oplog.Seq {
	s.t.Helper()
	return s.bucket(i).Seq(s.bucket(j).Origin())
}

// holds verifies what must hold at any moment: Cover, equal rows for equal
// clocks, and that nobody told of what was not on its disk.
func (s *scene) holds() {
	s.t.Helper()
	if err := s.Check(); err != nil {
		s.t.Fatal(err)
	}
}

// settles lets every fault end and wants all nodes to become equal within a
// minute.
func (s *scene) settles() {
	s.t.Helper()
	s.Tap = nil
	s.Heal()
	if !s.RunUntil(s.Now().Add(time.Minute), s.Settled) {
		s.t.Fatal("not equal within a minute")
	}
	if err := s.AtRest(); err != nil {
		s.t.Fatal(err)
	}
}

// within wants something to become true.
func (s *scene) within(d time.Duration, what string, done func() bool) {
	s.t.Helper()
	if !s.RunUntil(s.Now().Add(d), done) {
		s.t.Fatalf("not within %s: %s", d, what)
	}
}

// drops lets those messages through for which pass says so.
func (s *scene) drops(fault func(from, to int, m oplog.Message) bool) {
	s.taps(func(from, to int, m oplog.Message, deliver func()) {
		if !fault(from, to, m) {
			deliver()
		}
	})
}

// taps sees all messages between two nodes, by their numbers.
func (s *scene) taps(tap func(from, to int, m oplog.Message, deliver func())) {
	s.Tap = func(from, to *simnet.Node, m oplog.Message, deliver func()) {
		if from == to {
			deliver()
			return
		}
		tap(number(from), number(to), m, deliver)
	}
}

func number(n *simnet.Node) int { return int(n.Name()[0] - 'a') }

// noLive loses live messages.
func noLive(_, _ int, m oplog.Message) bool {
	_, live := m.(*oplog.Live)
	return live
}

// only reports whether a message is of type M.
func only[M oplog.Message](m oplog.Message) bool {
	_, ok := m.(M)
	return ok
}

func deletes(key string) store.Op { return store.Op{Key: []byte(key), Delete: true} }
