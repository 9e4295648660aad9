package watch

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// Limits are what waits for one reader at most. One event is always let in. The zero
// value is ready to use.
type Limits struct {
	// Events is how many. Default 4096.
	Events int
	// Bytes is how many bytes of keys and values. Default 64 MiB.
	Bytes int64
}

func (l Limits) orDefault() Limits {
	if l.Events <= 0 {
		l.Events = 4096
	}
	if l.Bytes <= 0 {
		l.Bytes = 64 << 20
	}
	return l
}

// MarkEvery is how often a reader is told how far he is, or notes it for himself.
const MarkEvery = time.Second

// ErrFellBehind ends what a hub tells a reader that does not keep up. He reads on with
// Join.
var ErrFellBehind = errors.New("watch: fell behind")

// A Telling is what a hub tells: a changed row, or a clock under which all was told.
type Telling struct {
	Entry oplog.Entry
	Local bool // written on this node, not merged from another
	Mark  oplog.Clock
}

func (t *Telling) size() int64 {
	return int64(len(t.Entry.Key) + len(t.Entry.Value) + len(t.Entry.Type))
}

// A watcher is what a hub knows of a reader.
type watcher struct {
	prefix []byte
	since  uint64       // changes before that are not for it
	events chan Telling // closed when there are no more
	bytes  atomic.Int64 // in events
	why    error        // set before that
}

// A Hub tells readers of the changes of a bucket in the order in which they took
// effect. Own changes wait for the disk, and what took effect after them waits behind.
// It may be used by several goroutines.
type Hub struct {
	limits Limits

	mu       sync.Mutex // guards all below
	watchers map[*watcher]bool
	pending  []change
	next     uint64 // number of the change that is queued next
	unmarked int    // changes queued since the last mark
	marked   time.Time
}

type change struct {
	Telling
	own    oplog.Dot // the last of its group; zero for a merged entry, which may be told at once
	number uint64
}

// NewHub returns a hub without readers.
func NewHub(l Limits) *Hub {
	return &Hub{limits: l.orDefault(), watchers: map[*watcher]bool{}}
}

// join has the reader told of what is queued from now on.
func (h *Hub) join(r *Reader) {
	w := &watcher{prefix: r.prefix, events: make(chan Telling, h.limits.Events)}
	h.mu.Lock()
	defer h.mu.Unlock()
	w.since = h.next
	h.watchers[w] = true
	r.watcher = w
}

func (h *Hub) leave(r *Reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, r.watcher)
}

// QueueOwn takes the changes of a local group.
func (h *Hub) QueueOwn(w store.Written) { h.queue(w.Changes, w) }

// QueueMerged takes the changes of a merge, among them writes that became own
// ones.
func (h *Hub) QueueMerged(a store.Applied) { h.queue(a.Changes, a.Reissued) }

func (h *Hub) queue(changes []store.Change, own store.Written) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers) == 0 && len(h.pending) == 0 {
		return
	}
	for i := range changes {
		c := change{Telling: Telling{Entry: changes[i].Entry}}
		if c.Entry.Stamp.Origin == own.Origin {
			c.own, c.Local = oplog.Dot{Origin: own.Origin, Seq: own.Last}, true
		}
		h.add(c)
	}
	h.unmarked += len(changes)
}

func (h *Hub) add(c change) {
	c.number = h.next
	h.next++
	h.pending = append(h.pending, c)
}

// QueueMark takes the clock under which all that was queued is, if it is time for a
// mark: a second after the last one, or, if many changes were told since, at once. The
// clock may not move meanwhile.
func (h *Hub) QueueMark(now time.Time, many bool, clock func() oplog.Clock) {
	h.mu.Lock()
	defer h.mu.Unlock()
	due := now.Sub(h.marked) >= MarkEvery*9/10 || many && h.unmarked >= h.limits.Events/2
	if len(h.watchers) == 0 || h.unmarked == 0 || !due {
		return
	}
	h.add(change{Telling: Telling{Mark: clock()}})
	h.unmarked, h.marked = 0, now
}

// Release tells of all changes up to the first own one that is not on disk.
func (h *Hub) Release(onDisk func(oplog.Dot) bool) {
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

func (h *Hub) tell(c *change) {
	size := c.size()
	for w := range h.watchers {
		if c.number < w.since || c.Mark == nil && !bytes.HasPrefix(c.Entry.Key, w.prefix) {
			continue
		}
		if waiting := w.bytes.Load(); waiting > 0 && waiting+size > h.limits.Bytes {
			h.drop(w, ErrFellBehind)
			continue
		}
		select {
		case w.events <- c.Telling:
			w.bytes.Add(size)
		default:
			h.drop(w, ErrFellBehind)
		}
	}
}

// drop ends a watcher. h.mu must be held.
func (h *Hub) drop(w *watcher, why error) {
	delete(h.watchers, w)
	w.why = why
	close(w.events)
}

// End ends what all readers are told and forgets what was still to be told.
func (h *Hub) End(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending = nil
	for w := range h.watchers {
		h.drop(w, why)
	}
}
