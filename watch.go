package replicator

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"time"

	"replicator/oplog"
	"replicator/store"
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
	// clock, some 30 bytes for each time that a node has started.
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
	// mark that says CaughtUp, then changes. It excludes FromStart.
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
	w := &watch{bucket: b, o: o}
	w.o.Prefix = bytes.Clone(o.Prefix)
	if err := w.begin(); err != nil {
		return func(yield func(WatchEvent, error) bool) { yield(WatchEvent{}, err) }
	}
	first := w.watcher
	forget := context.AfterFunc(ctx, func() { b.loop.hub.leave(first) })
	return func(yield func(WatchEvent, error) bool) {
		defer func() { forget(); b.loop.hub.leave(w.watcher) }()
		w.run(ctx, yield)
	}
}

// A watch is one that is read. It belongs to its reader.
type watch struct {
	bucket  *Bucket
	o       WatchOptions
	watcher *watcher

	// pos is what was told for sure, told what has been beyond it: a mark moves the
	// one and forgets the other. So whoever falls behind gets nothing twice.
	pos  oplog.Clock
	told map[oplog.Dot]struct{}
	// had is what the reader had, perhaps from another node that was further.
	had oplog.Clock

	unmarked bool // something was told since the last mark
	stop     bool // the reader has gone
}

// markEvery is how often a watch tells how far it is, or notes it for itself.
const markEvery = time.Second

func (w *watch) begin() error {
	l := w.bucket.loop
	w.watcher = newWatcher(w.o.Prefix)
	switch {
	case w.o.Resume != "" && w.o.FromStart:
		return errBothStarts
	case w.o.Resume != "":
		had, err := parseWatchToken(l.name, w.o.Resume)
		w.had, w.pos = had, had
		return err
	case !w.o.FromStart:
		l.order.Lock()
		defer l.order.Unlock()
		l.hub.join(w.watcher)
		w.moveTo(l.bucket.Clock())
	}
	return nil
}

func (w *watch) moveTo(clock oplog.Clock) {
	w.pos, w.told, w.unmarked = clock, map[oplog.Dot]struct{}{}, false
	w.pos.Join(w.had)
}

// run tells what there is to be told until the reader goes, or an error.
func (w *watch) run(ctx context.Context, yield func(WatchEvent, error) bool) {
	give := func(ev WatchEvent, err error) bool {
		w.stop = !yield(ev, err) || err != nil
		return !w.stop
	}
	err := w.bucket.loop.ended()
	if err == nil && (w.o.FromStart || w.o.Resume != "") {
		err = w.replay(ctx, give, w.o.FromStart, true)
	}
	for err == nil && !w.stop && ctx.Err() == nil {
		if err = w.follow(ctx, give); errors.Is(err, errFellBehind) {
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
func (w *watch) follow(ctx context.Context, give func(WatchEvent, error) bool) error {
	tick := time.NewTicker(markEvery)
	defer tick.Stop()
	for !w.stop {
		select {
		case <-ctx.Done():
			return nil
		case <-w.bucket.node.ctx.Done():
			return ErrClosed
		case <-tick.C:
			if w.unmarked {
				w.bucket.loop.mark(false)
			}
		case t, ok := <-w.watcher.events:
			if !ok {
				return w.watcher.why
			}
			w.watcher.bytes.Add(-t.size())
			w.take(t, give)
		}
	}
	return nil
}

func (w *watch) take(t telling, give func(WatchEvent, error) bool) {
	if t.mark != nil {
		w.moveTo(t.mark.Clone()) // others have it, too
		if w.o.Marks {
			give(w.mark(false), nil)
		}
		return
	}
	if w.had.Covers(t.entry.Dot()) {
		return
	}
	w.unmarked = true
	if w.told[t.entry.Dot()] = struct{}{}; len(w.told)%(watchBuffer/4) == 0 {
		w.bucket.loop.mark(true)
	}
	w.tell(t.entry, t.local, give)
}

func (w *watch) tell(e Entry, local bool, give func(WatchEvent, error) bool) {
	if w.o.IgnoreDeletes && e.Tombstone {
		return
	}
	if w.o.MetaOnly {
		e.Value = nil
	}
	give(WatchEvent{Entry: e, Local: local}, nil)
}

func (w *watch) mark(caughtUp bool) WatchEvent {
	return WatchEvent{Mark: &WatchMark{Token: watchToken(w.bucket.loop.name, w.pos), CaughtUp: caughtUp}}
}

// replay tells the rows that there are and were not told, and joins the hub for what
// comes behind them.
func (w *watch) replay(ctx context.Context, give func(WatchEvent, error) bool, fromStart, caughtUp bool) error {
	snap, err := w.join(ctx)
	if err != nil {
		return err
	}
	err = w.tellRows(ctx, snap, give, fromStart)
	_ = snap.Close()
	if err != nil || w.stop || ctx.Err() != nil {
		return err
	}
	w.moveTo(snap.Clock)
	if caughtUp || w.o.Marks {
		give(w.mark(caughtUp), nil)
	}
	return nil
}

// tellRows tells those of the snapshot that were not told.
func (w *watch) tellRows(ctx context.Context, snap *store.Snapshot, give func(WatchEvent, error) bool, fromStart bool) error {
	if err := w.bucket.node.store.Sync(); err != nil { // own writes among them leave no sooner
		return err
	}
	rows := snap.Log(w.pos)
	if fromStart {
		rows = snap.Prefixed(w.o.Prefix)
	} else if !w.pos.GE(snap.GCV) {
		return ErrTokenExpired
	}
	now, node := time.Now(), w.bucket.node.Name()
	for e, err := range rows {
		switch {
		case err != nil:
			return w.bucket.loop.suspect(err)
		case ctx.Err() != nil:
			return nil
		case w.bucket.node.ctx.Err() != nil:
			return ErrClosed
		}
		if _, told := w.told[e.Dot()]; told || !bytes.HasPrefix(e.Key, w.o.Prefix) || fromStart && !e.Live(now) {
			continue
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

// join takes a snapshot and joins the hub in the same moment: what changes from then
// on is told by the hub, once it can be.
func (w *watch) join(ctx context.Context) (*store.Snapshot, error) {
	l := w.bucket.loop
	for {
		l.order.Lock()
		snap, err := l.bucket.Snapshot()
		if err == nil {
			w.watcher = newWatcher(w.o.Prefix)
			l.hub.join(w.watcher)
		}
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
