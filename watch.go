package replicator

import (
	"bytes"
	"context"
	"iter"
	"sync"

	"replicator/oplog"
	"replicator/store"
)

// A WatchEvent tells that a key has a new row on this node.
type WatchEvent struct {
	Entry Entry // a tombstone for a delete
	Local bool  // written on this node, not merged from another
}

// WatchOptions say what a Watch yields. The zero value is the whole bucket.
type WatchOptions struct {
	Prefix []byte // only keys that begin so
}

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
// A reader that falls 4096 events behind gets ErrSlowWatcher and no more; it
// can Scan for what it missed. On a replica that empties the bucket the watch
// ends with ErrWiped. The events' slices must not be changed.
func (b *Bucket) Watch(ctx context.Context, o WatchOptions) iter.Seq2[WatchEvent, error] {
	h := b.loop.hub
	w := h.join(bytes.Clone(o.Prefix))
	forget := context.AfterFunc(ctx, func() { h.leave(w) })
	return func(yield func(WatchEvent, error) bool) {
		defer func() { forget(); h.leave(w) }()
		for {
			select {
			case <-ctx.Done():
				return
			case <-b.node.ctx.Done():
				yield(WatchEvent{}, ErrClosed)
				return
			case ev, ok := <-w.events:
				if !ok {
					yield(WatchEvent{}, w.why)
					return
				}
				if !yield(ev, nil) {
					return
				}
			}
		}
	}
}

const watchBuffer = 4096

type watcher struct {
	prefix []byte
	events chan WatchEvent // closed when there are no more
	why    error           // set before that
}

// A hub tells watchers of changes in the order in which they took effect. Own
// changes wait for the disk, and what took effect after them waits behind.
type hub struct {
	mu       sync.Mutex // guards all below
	watchers map[*watcher]bool
	pending  []change
}

type change struct {
	entry Entry
	own   oplog.Dot // the last of its group; zero for a merged entry, which may be told at once
}

func newHub() *hub { return &hub{watchers: map[*watcher]bool{}} }

func (h *hub) join(prefix []byte) *watcher {
	w := &watcher{prefix: prefix, events: make(chan WatchEvent, watchBuffer)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers[w] = true
	return w
}

func (h *hub) leave(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
}

// queueOwn takes the changes of a local group.
func (h *hub) queueOwn(w store.Written) { h.queue(w.Changes, w) }

// queueMerged takes the changes of a merge, among them writes that became own
// ones.
func (h *hub) queueMerged(a store.Applied) { h.queue(a.Changes, a.Reissued) }

func (h *hub) queue(changes []store.Change, own store.Written) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers) == 0 && len(h.pending) == 0 {
		return
	}
	for i := range changes {
		c := change{entry: changes[i].Entry}
		if c.entry.Stamp.Origin == own.Origin {
			c.own = oplog.Dot{Origin: own.Origin, Seq: own.Last}
		}
		h.pending = append(h.pending, c)
	}
}

// release tells of all changes up to the first own one that is not on disk.
func (h *hub) release(onDisk func(oplog.Dot) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for n < len(h.pending) && (h.pending[n].own.Seq == 0 || onDisk(h.pending[n].own)) {
		h.tell(h.pending[n])
		n++
	}
	h.pending = h.pending[n:]
	if len(h.pending) == 0 {
		h.pending = nil
	}
}

func (h *hub) tell(c change) {
	for w := range h.watchers {
		if !bytes.HasPrefix(c.entry.Key, w.prefix) {
			continue
		}
		select {
		case w.events <- WatchEvent{Entry: c.entry, Local: c.own.Seq > 0}:
		default:
			h.drop(w, ErrSlowWatcher)
		}
	}
}

// drop ends a watcher. h.mu must be held.
func (h *hub) drop(w *watcher, why error) {
	delete(h.watchers, w)
	w.why = why
	close(w.events)
}

// end ends all watchers and forgets what was still to be told.
func (h *hub) end(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending = nil
	for w := range h.watchers {
		h.drop(w, why)
	}
}
