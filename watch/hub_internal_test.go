package watch

import (
	"errors"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// TestWatchersWaitForTheDisk: writes that a merge has made are own writes.
func TestWatchersWaitForTheDisk(t *testing.T) {
	h := NewHub(Limits{})
	w := NewReader(h, nil, nil, nil)
	h.join(w)
	own, other := oplog.Origin{Node: "a", Epoch: 1}, oplog.Origin{Node: "b", Epoch: 1}
	change := func(o oplog.Origin, seq oplog.Seq) store.Change {
		return store.Change{Entry: oplog.Entry{Key: []byte("k"), Stamp: oplog.Stamp{HLC: 1, Origin: o, Seq: seq}}}
	}
	h.QueueMerged(store.Applied{
		Changes:  []store.Change{change(other, 1), change(own, 7)},
		Reissued: store.Written{Origin: own, First: 7, Last: 7},
	})
	durable := oplog.Clock{{Node: "a", Epoch: 9}: 1000} // of an epoch before
	h.Release(durable.Covers)
	if n := len(w.Events()); n != 1 {
		t.Fatalf("%d events before the disk has the write, want the merged one", n)
	}
	if ev := <-w.Events(); ev.Local {
		t.Error("a merged entry is told as a local write")
	}
	durable[own] = 7
	h.Release(durable.Covers)
	if n := len(w.Events()); n != 1 {
		t.Fatalf("%d events after, want 1", n)
	}
	if ev := <-w.Events(); !ev.Local {
		t.Error("a write issued again is not told as a local one")
	}
}

// TestMarksWaitForTheDisk: a mark says that all before it was told.
func TestMarksWaitForTheDisk(t *testing.T) {
	h := NewHub(Limits{})
	w := NewReader(h, nil, nil, []byte("other/"))
	h.join(w)
	own := oplog.Origin{Node: "a", Epoch: 1}
	h.QueueOwn(store.Written{Origin: own, First: 1, Last: 1, Changes: []store.Change{
		{Entry: oplog.Entry{Key: []byte("k"), Stamp: oplog.Stamp{HLC: 1, Origin: own, Seq: 1}}},
	}})
	late := NewReader(h, nil, nil, nil)
	h.join(late) // its snapshot has that change
	clock := func() oplog.Clock { return oplog.Clock{own: 1} }
	now := time.Now()
	h.QueueMark(now, false, clock)
	h.QueueMark(now, false, clock) // nothing was queued since
	durable := oplog.Clock{}
	h.Release(durable.Covers)
	if n := len(w.Events()) + len(late.Events()); n != 0 {
		t.Fatalf("%d tellings before the disk has the write", n)
	}
	durable[own] = 1
	h.Release(durable.Covers)
	for _, x := range []*Reader{w, late} {
		if n := len(x.Events()); n != 1 {
			t.Fatalf("%d tellings, want the mark alone", n)
		}
		if told := <-x.Events(); !told.Mark.Equal(clock()) {
			t.Errorf("told %+v", told)
		}
	}
}

// TestWipeEndsWatches: what is deleted before the rows are back would be told to
// nobody, so whoever watches begins anew.
func TestWipeEndsWatches(t *testing.T) {
	h := NewHub(Limits{})
	w := NewReader(h, nil, nil, nil)
	h.join(w)
	h.QueueMerged(store.Applied{Changes: []store.Change{{Entry: oplog.Entry{Key: []byte("k")}}}})
	h.Release(nil)
	h.QueueMerged(store.Applied{Changes: []store.Change{{Entry: oplog.Entry{Key: []byte("l")}}}})
	wiped := errors.New("wiped")
	h.End(wiped)
	if ev, ok := <-w.Events(); !ok || string(ev.Entry.Key) != "k" {
		t.Errorf("what was told before is lost: %+v", ev)
	}
	if _, ok := <-w.Events(); ok || !errors.Is(w.Why(), wiped) || len(h.pending)+len(h.watchers) > 0 {
		t.Errorf("the watch goes on, or ends for %v", w.Why())
	}
	w.Leave()
}
