package replicator

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// What waits for one watcher at most. One event is always let in.
const (
	watchBuffer = 4096
	watchBytes  = 64 << 20
)

// errFellBehind ends what a hub tells a watcher that does not keep up.
var errFellBehind = errors.New("replicator: fell behind")

// A telling is what a hub tells: a changed row, or a clock under which all was told.
type telling struct {
	entry Entry
	local bool
	mark  oplog.Clock
}

func (t *telling) size() int64 {
	return int64(len(t.entry.Key) + len(t.entry.Value) + len(t.entry.Type))
}

// A watcher is what a hub knows of a reader.
type watcher struct {
	prefix []byte
	since  uint64       // changes before that are not for it
	events chan telling // closed when there are no more
	bytes  atomic.Int64 // in events
	why    error        // set before that
}

func newWatcher(prefix []byte) *watcher {
	return &watcher{prefix: prefix, events: make(chan telling, watchBuffer)}
}

// A hub tells watchers of changes in the order in which they took effect. Own
// changes wait for the disk, and what took effect after them waits behind.
type hub struct {
	mu       sync.Mutex // guards all below
	watchers map[*watcher]bool
	pending  []change
	next     uint64 // number of the change that is queued next
	unmarked int    // changes queued since the last mark
	marked   time.Time
}

type change struct {
	telling
	own    oplog.Dot // the last of its group; zero for a merged entry, which may be told at once
	number uint64
}

func newHub() *hub { return &hub{watchers: map[*watcher]bool{}} }

// join has the watcher told of what is queued from now on.
func (h *hub) join(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.since = h.next
	h.watchers[w] = true
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
		c := change{telling: telling{entry: changes[i].Entry}}
		if c.entry.Stamp.Origin == own.Origin {
			c.own, c.local = oplog.Dot{Origin: own.Origin, Seq: own.Last}, true
		}
		h.add(c)
	}
	h.unmarked += len(changes)
}

func (h *hub) add(c change) {
	c.number = h.next
	h.next++
	h.pending = append(h.pending, c)
}

// queueMark takes the clock under which all that was queued is, if it is time for a
// mark: a second after the last one, or, if many changes were told since, at once. The
// clock may not move meanwhile.
func (h *hub) queueMark(many bool, clock func() oplog.Clock) {
	h.mu.Lock()
	defer h.mu.Unlock()
	due := time.Since(h.marked) >= markEvery*9/10 || many && h.unmarked >= watchBuffer/2
	if len(h.watchers) == 0 || h.unmarked == 0 || !due {
		return
	}
	h.add(change{telling: telling{mark: clock()}})
	h.unmarked, h.marked = 0, time.Now()
}

// release tells of all changes up to the first own one that is not on disk.
func (h *hub) release(onDisk func(oplog.Dot) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for n < len(h.pending) && (h.pending[n].own.Seq == 0 || onDisk(h.pending[n].own)) {
		h.tell(&h.pending[n])
		n++
	}
	h.pending = h.pending[n:]
	if len(h.pending) == 0 {
		h.pending = nil
	}
}

func (h *hub) tell(c *change) {
	size := c.size()
	for w := range h.watchers {
		if c.number < w.since || c.mark == nil && !bytes.HasPrefix(c.entry.Key, w.prefix) {
			continue
		}
		if waiting := w.bytes.Load(); waiting > 0 && waiting+size > watchBytes {
			h.drop(w, errFellBehind)
			continue
		}
		select {
		case w.events <- c.telling:
			w.bytes.Add(size)
		default:
			h.drop(w, errFellBehind)
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

// mark has watchers told how far all is told, if it is time for that.
func (l *loop) mark(many bool) {
	l.order.Lock()
	l.hub.queueMark(many, l.bucket.Clock)
	l.order.Unlock()
	l.hub.release(l.bucket.DurableCovers)
}
