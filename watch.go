package replicator

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"time"

	"replicator/store"
	"replicator/watch"
)

// A WatchEvent tells that a key has a new row on this node, or, if Mark is set, how
// far all was told.
type WatchEvent struct {
	Entry Entry // a tombstone for a delete
	Local bool  // written on this node, not merged from another
	Mark  *WatchMark
}

// A WatchMark says that of every key the newest row was told that its token covers.
type WatchMark struct {
	// Token goes on from here: see WatchOptions.Resume. It is as long as the bucket's
	// clock, some 30 bytes for each time that a node has started. It may go back where a
	// node is behind the one before: the last one counts.
	Token string
	// CaughtUp tells that what was there before has been told, and that changes follow
	// as they happen.
	CaughtUp bool
}

// WatchOptions say what a Watch yields. The zero value is every change from now on.
type WatchOptions struct {
	Prefix []byte // only keys that begin so

	// FromStart yields the rows that there are first, in order of key and of one
	// moment; then a mark that says CaughtUp, then changes.
	FromStart bool
	// Resume is the token of a mark, of this node or of another. What has come since
	// is yielded first, of each key the newest row alone, deletes among them; then a
	// mark that says CaughtUp, then changes. It excludes FromStart. What the reader had is
	// not told again, unless this node does not cover it and tells what may be older:
	// a mark comes before that, and what is newer is told once more.
	Resume string
	// Marks asks for marks while changes come, at most one a second.
	Marks bool

	IgnoreDeletes bool // leave out tombstones
	MetaOnly      bool // leave values out
}

var errBothStarts = errors.New("replicator: a watch goes on from a token, or from the start")

// Watch yields changes of rows from the moment it returns, until ctx ends or the
// loop breaks. The sequence is to be run once; ctx releases one that never is.
//
// One event is one row that changed on this node: a local write, once it is on
// disk; or an entry of another master that won its key, when it was merged. An
// entry that lost against the row that was there is no event, and of several
// entries for one key that are merged together, as a pull or a burst of live
// messages brings them, each that won is one. An expiry is no event: the row
// hides when its time comes. A reconcile yields the rows it replaces or
// removes like a merge. Events of one key come in the order of their stamps,
// those of one origin in the order of their seqs unless a pull by key brings
// them.
//
// A reader that falls 4096 events or 64 MiB behind gets of each key the newest row
// alone, once it reads on: what it missed is read from the disk then, as is what
// FromStart and Resume ask for. A snapshot of the store is open meanwhile: do not
// dally. If it was away for so long that deletes it has not got are forgotten, it gets
// ErrSlowWatcher and no more. On a replica that empties the bucket the watch ends with
// ErrWiped. The events' slices must not be changed.
func (b *Bucket) Watch(ctx context.Context, o WatchOptions) iter.Seq2[WatchEvent, error] {
	w := &watching{bucket: b, o: o}
	w.o.Prefix = bytes.Clone(o.Prefix)
	if err := w.begin(); err != nil {
		return func(yield func(WatchEvent, error) bool) { yield(WatchEvent{}, err) }
	}
	forget := context.AfterFunc(ctx, w.reader.Leave)
	return func(yield func(WatchEvent, error) bool) {
		defer func() { forget(); w.reader.Leave() }()
		w.run(ctx, yield)
	}
}

// A watching is a watch that is read. It belongs to its reader.
type watching struct {
	bucket *Bucket
	o      WatchOptions
	reader *watch.Reader
	behind bool // as he was told, by a mark
	stop   bool // the reader has gone
}

func (w *watching) begin() error {
	l := w.bucket.loop
	w.reader = watch.NewReader(l.hub, l.node.store, l.bucket, w.o.Prefix)
	switch {
	case w.o.Resume != "" && w.o.FromStart:
		return errBothStarts
	case w.o.Resume != "":
		return w.reader.Resume(w.o.Resume)
	case !w.o.FromStart:
		l.order.Lock()
		defer l.order.Unlock()
		w.reader.JoinNow()
	}
	return nil
}

// run tells what there is to be told until the reader goes, or an error.
func (w *watching) run(ctx context.Context, yield func(WatchEvent, error) bool) {
	give := func(ev WatchEvent, err error) bool {
		w.stop = !yield(ev, err) || err != nil
		return !w.stop
	}
	err := w.bucket.loop.ended()
	if err == nil && (w.o.FromStart || w.o.Resume != "") {
		err = w.replay(ctx, give, w.o.FromStart, true)
	}
	for err == nil && !w.stop && ctx.Err() == nil {
		if err = w.follow(ctx, give); errors.Is(err, watch.ErrFellBehind) {
			err = w.replay(ctx, give, false, false)
			if errors.Is(err, ErrTokenExpired) {
				err = ErrSlowWatcher
			}
		}
	}
	if err != nil && !w.stop && ctx.Err() == nil {
		yield(WatchEvent{}, err)
	}
}

// follow tells changes as they happen.
func (w *watching) follow(ctx context.Context, give func(WatchEvent, error) bool) error {
	tick := time.NewTicker(watch.MarkEvery)
	defer tick.Stop()
	for !w.stop {
		select {
		case <-ctx.Done():
			return nil
		case <-w.bucket.node.ctx.Done():
			return ErrClosed
		case <-tick.C:
			if w.reader.Unmarked() {
				w.bucket.loop.mark(false)
			}
		case t, ok := <-w.reader.Events():
			if !ok {
				return w.reader.Why()
			}
			if err := w.take(t, give); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *watching) take(t *watch.Telling, give func(WatchEvent, error) bool) error {
	switch news, err := w.reader.Take(t); {
	case err != nil:
		return err
	case !news:
	case t.Mark != nil:
		if w.o.Marks {
			give(w.mark(false), nil)
		}
	default:
		if w.reader.Crowded() {
			w.bucket.loop.mark(true)
		}
		w.tell(t.Entry, t.Local, give)
	}
	return nil
}

func (w *watching) tell(e Entry, local bool, give func(WatchEvent, error) bool) {
	before := w.behind
	if w.behind = w.reader.Behind(); w.behind && !before && !give(w.mark(false), nil) {
		return
	}
	if w.o.IgnoreDeletes && e.Tombstone {
		return
	}
	if w.o.MetaOnly {
		e.Value = nil
	}
	give(WatchEvent{Entry: e, Local: local}, nil)
}

func (w *watching) mark(caughtUp bool) WatchEvent {
	return WatchEvent{Mark: &WatchMark{Token: w.reader.Token(), CaughtUp: caughtUp}}
}

// mark has watchers told how far all is told, if it is time for that.
func (l *loop) mark(many bool) {
	l.order.Lock()
	l.hub.QueueMark(time.Now(), many, l.bucket.Clock)
	l.order.Unlock()
	l.hub.Release(l.bucket.DurableCovers)
}

// replay tells the rows that there are and were not told, and joins the hub for what
// comes behind them.
func (w *watching) replay(ctx context.Context, give func(WatchEvent, error) bool, fromStart, caughtUp bool) error {
	snap, err := w.join(ctx)
	if err != nil {
		return err
	}
	err = w.tellRows(ctx, snap, give, fromStart)
	_ = snap.Close()
	if err != nil || w.stop || ctx.Err() != nil {
		return err
	}
	w.reader.Replayed(snap)
	if caughtUp || w.o.Marks {
		give(w.mark(caughtUp), nil)
	}
	return nil
}

// tellRows tells those of the snapshot that were not told.
func (w *watching) tellRows(ctx context.Context, snap *store.Snapshot, give func(WatchEvent, error) bool, fromStart bool) error {
	node := w.bucket.node.Name()
	for e, err := range w.reader.Rows(snap, fromStart, time.Now()) {
		switch {
		case err != nil:
			return w.bucket.loop.suspect(err)
		case ctx.Err() != nil:
			return nil
		case w.bucket.node.ctx.Err() != nil:
			return ErrClosed
		}
		if w.tell(e, e.Stamp.Origin.Node == node, give); w.stop {
			return nil
		}
	}
	return nil
}

// sweepPause is how long a watch waits before it looks again whether the bucket can be
// shown.
const sweepPause = 50 * time.Millisecond

// join begins anew to read from the bucket as it is now.
func (w *watching) join(ctx context.Context) (*store.Snapshot, error) {
	l := w.bucket.loop
	for {
		l.order.Lock()
		snap, err := w.reader.Join()
		l.order.Unlock()
		if errors.Is(err, store.ErrDropped) {
			return nil, noBucket(l.name)
		}
		if !errors.Is(err, store.ErrReconciling) {
			return snap, err
		}
		select { // it is between two states
		case <-time.After(sweepPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-w.bucket.node.ctx.Done():
			return nil, ErrClosed
		}
	}
}
