package replicator

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"replicator/oplog"
	"replicator/store"
	"replicator/watch"
)

func storeBucket(t *testing.T) *store.Bucket {
	t.Helper()
	s, err := store.Open(store.NewMap(), time.Now(), store.Options{Node: "a", Nonce: oplog.Nonce{1}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Join("orders")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestOneBadWriteLeavesItsGroupAlone: a key whose timestamp is at the end of
// time cannot be written any more. Who writes other keys at the same moment is
// not to blame.
func TestOneBadWriteLeavesItsGroupAlone(t *testing.T) {
	b := storeBucket(t)
	o := oplog.Origin{Node: "z", Epoch: 9}
	last := oplog.Entry{Key: []byte("frozen"), Value: []byte("x"), Stamp: oplog.Stamp{HLC: 1<<64 - 1<<32, Origin: o, Seq: 1}}
	if _, err := b.ApplyLive(time.Now(), []*oplog.Live{{Bucket: "orders", Origin: o, First: 1, Last: 1, Entries: []oplog.Entry{last}}}); err != nil {
		t.Fatal(err)
	}
	l := &loop{node: &Node{}, bucket: b, hub: watch.NewHub(watch.Limits{})}
	var requests []*request
	for _, key := range []string{"before", "frozen", "after"} {
		requests = append(requests, &request{ops: []store.Op{{Key: []byte(key), Value: []byte("v")}}, done: make(chan result, 1)})
	}
	l.writeGroup(requests, func(g group) { l.answer(g, nil) })
	for i, r := range requests {
		res := <-r.done
		if _, limit := errors.AsType[*store.LimitError](res.err); limit != (i == 1) {
			t.Errorf("request %d: %v", i, res.err)
		}
	}
}

// TestQueuedWritesAreTurnedAway by a node that has begun to leave: those before
// it are handed over, and nobody would wait for these. The fleet's own bucket
// still takes what the node has to say, and a request without operations waits
// for those before it.
func TestQueuedWritesAreTurnedAway(t *testing.T) {
	n := &Node{}
	n.retired.Store(new("leaving"))
	for name, refused := range map[string]bool{"orders": true, "_fleet": false} {
		l := &loop{node: n, name: name, bucket: storeBucket(t), hub: watch.NewHub(watch.Limits{})}
		write := &request{ops: []store.Op{{Key: []byte("k"), Value: []byte("v")}}, done: make(chan result, 1)}
		barrier := &request{done: make(chan result, 1)}
		l.writeGroup([]*request{write, barrier}, func(g group) { l.answer(g, nil) })
		if _, ok := errors.AsType[*RetiredError]((<-write.done).err); ok != refused {
			t.Errorf("%s: refused %v, want %v", name, ok, refused)
		}
		if res := <-barrier.done; res.err != nil {
			t.Errorf("%s: what waits is answered with %v", name, res.err)
		}
	}
}

// A brokenDisk fails to sync from some moment on.
type brokenDisk struct {
	store.KV
	broken bool
}

func (d *brokenDisk) Sync() error {
	if d.broken {
		return errors.New("no disk")
	}
	return d.KV.Sync()
}

// TestNothingLeavesBeforeTheDiskHasIt: a caller of DurabilitySync is not told
// that his write is safe, and with either durability no message leaves, until a
// sync has succeeded. The node has no bus: to publish would panic.
func TestNothingLeavesBeforeTheDiskHasIt(t *testing.T) {
	disk := &brokenDisk{KV: store.NewMap()}
	s, err := store.Open(disk, time.Now(), store.Options{Node: "a", Nonce: oplog.Nonce{1}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Join("orders")
	if err != nil {
		t.Fatal(err)
	}
	disk.broken = true
	l := &loop{node: &Node{store: s, log: slog.New(slog.DiscardHandler)}, bucket: b, hub: watch.NewHub(watch.Limits{})}
	r := &request{ops: []store.Op{{Key: []byte("k"), Value: []byte("v")}}, done: make(chan result, 1)}
	l.writeGroup([]*request{r}, func(g group) {
		l.finish(g)
		l.publishSynced([]group{g})
	})
	if res := <-r.done; res.err == nil {
		t.Error("a write that is on no disk was acknowledged")
	}
}

// TestTokensAreReachedTogether: a replica that is emptied has gone back behind the
// first token when what the second stands for comes.
func TestTokensAreReachedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &loop{node: &Node{ctx: t.Context()}}
		x, y := oplog.Origin{Node: "x", Epoch: 1}, oplog.Origin{Node: "y", Epoch: 1}
		var clock atomic.Pointer[oplog.Clock]
		become := func(c oplog.Clock) {
			clock.Store(&c)
			l.moved.beat()
			synctest.Wait()
		}
		become(oplog.Clock{x: 1})
		covers := func(r Revision) bool { return clock.Load().Covers(r) }
		seq := func(o oplog.Origin) oplog.Seq { return (*clock.Load())[o] }
		done := make(chan error, 1)
		go func() {
			done <- l.reach(t.Context(), covers, seq, []Revision{{Origin: x, Seq: 1}, {Origin: y, Seq: 1}})
		}()
		synctest.Wait()
		become(oplog.Clock{}) // emptied
		become(oplog.Clock{y: 1})
		select {
		case err := <-done:
			t.Fatalf("answered with %v while the clock is %v", err, *clock.Load())
		default:
		}
		become(oplog.Clock{x: 1, y: 1})
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
