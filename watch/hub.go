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

// Limits are what is kept for one reader at most. The zero value is ready to use.
type Limits struct {
	// Events is how many wait for him. Default 4096.
	Events int
	// Bytes is how many bytes of keys and values do. One event is always let in.
	// Default 64 MiB.
	Bytes int64
	// Remembered is of how many events that no mark covers yet he knows that he was
	// told them: beyond that he may be told one twice if he falls behind. Default four
	// times Events.
	Remembered int
}

func (l Limits) orDefault() Limits {
	if l.Events <= 0 {
		l.Events = 4096
	}
	if l.Bytes <= 0 {
		l.Bytes = 64 << 20
	}
	if l.Remembered <= 0 {
		l.Remembered = 4 * l.Events
	}
	return l
}

// MarkEvery is how often a reader is told how far he is, or notes it for himself.
const MarkEvery = time.Second

// ErrFellBehind ends what a hub tells a reader that does not keep up. He reads on with
// Join.
var ErrFellBehind = errors.New("watch: fell behind")

// A Telling is what a hub tells: a changed row, a clock under which all was told, or
// what the gate has taken over in a reconcile.
type Telling struct {
	Entry oplog.Entry
	Local bool // written on this node, not merged from another
	Back  bool // as of a store.Change
	Mark  oplog.Clock
	Gate  oplog.Clock
}

func (t *Telling) isChange() bool { return t.Mark == nil && t.Gate == nil }

func (t *Telling) size() int64 {
	return int64(len(t.Entry.Key) + len(t.Entry.Value) + len(t.Entry.Type))
}

// A watcher is what a hub knows of a reader.
type watcher struct {
	prefix []byte
	since  uint64        // changes before that are not for it
	events chan *Telling // closed when there are no more; what is in it others have, too
	bytes  atomic.Int64  // in events
	why    error         // set before that
	ends   int           // of the hub, when it joined
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
	mark     oplog.Clock // the last one
	ends     int         // counts End
	why      error       // of the last one
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
	w := &watcher{prefix: r.prefix, events: make(chan *Telling, h.limits.Events)}
	h.mu.Lock()
	defer h.mu.Unlock()
	w.since, w.ends = h.next, h.ends
	h.watchers[w] = true
	r.watcher = w
}

func (h *Hub) leave(r *Reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, r.watcher)
}

// QueueOwn takes the changes of a local group.
func (h *Hub) QueueOwn(w store.Written) { h.queue(w.Changes, w, nil) }

// QueueMerged takes the changes of a merge, among them writes that became own
// ones.
func (h *Hub) QueueMerged(a store.Applied) { h.queue(a.Changes, a.Reissued, a.Gate) }

func (h *Hub) queue(changes []store.Change, own store.Written, gate oplog.Clock) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers) == 0 && len(h.pending) == 0 {
		return
	}
	for i := range changes {
		c := change{Telling: Telling{Entry: changes[i].Entry, Back: changes[i].Back}}
		if c.Entry.Stamp.Origin == own.Origin {
			c.own, c.Local = oplog.Dot{Origin: own.Origin, Seq: own.Last}, true
		}
		h.add(c)
	}
	if len(gate) > 0 {
		h.add(change{Telling: Telling{Gate: gate}})
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
// clock may not move meanwhile. Where nothing has changed it may have moved all the
// same: the end of a pull covers what came with it.
func (h *Hub) QueueMark(now time.Time, many bool, clock func() oplog.Clock) {
	h.mu.Lock()
	defer h.mu.Unlock()
	due := now.Sub(h.marked) >= MarkEvery*9/10 || many && h.unmarked >= h.limits.Events/2
	if len(h.watchers) == 0 || !due {
		return
	}
	at := clock()
	if h.unmarked == 0 && at.Equal(h.mark) {
		return
	}
	h.add(change{Telling: Telling{Mark: at}})
	h.unmarked, h.marked, h.mark = 0, now, at
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
	var told *Telling // one for all readers, and apart from those of its group that they are not told
	for w := range h.watchers {
		if c.number < w.since || c.isChange() && !bytes.HasPrefix(c.Entry.Key, w.prefix) {
			continue
		}
		if waiting := w.bytes.Load(); waiting > 0 && waiting+size > h.limits.Bytes {
			h.drop(w, ErrFellBehind)
			continue
		}
		if told == nil {
			told = new(c.Telling)
		}
		select {
		case w.events <- told:
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

// End ends what all readers are told and forgets what was still to be told. Those that
// were let go meanwhile get why from Join.
func (h *Hub) End(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending = nil
	h.ends, h.why = h.ends+1, why
	for w := range h.watchers {
		h.drop(w, why)
	}
}

// ended returns for what reason all was ended since the reader joined: he may have
// been let go before.
func (h *Hub) ended(r *Reader) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.watcher == nil || r.watcher.ends == h.ends {
		return nil
	}
	return h.why
}

// Held returns what is kept for readers: how many changes wait for the disk, and how
// many events and bytes for the reader who has most of each to read.
func (h *Hub) Held() (pending, events int, bytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		events, bytes = max(events, len(w.events)), max(bytes, w.bytes.Load())
	}
	return len(h.pending), events, bytes
}
