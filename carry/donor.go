package carry

import (
	"errors"
	"fmt"
	"iter"
	"sync"

	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
)

// A Donor holds the snapshots that peers are pulling from. It may be used by
// several goroutines; the steps of one session must come one after the other,
// except Close.
type Donor struct {
	store *store.Store

	mu      sync.Mutex // guards streams
	streams map[uint64]*stream
}

// NewDonor returns a donor that serves from s.
func NewDonor(s *store.Store) *Donor {
	return &Donor{store: s, streams: map[uint64]*stream{}}
}

// A stream reads one snapshot, page after page.
type stream struct {
	mu     sync.Mutex // held while a page is read
	snap   *store.Snapshot
	next   func() (oplog.Entry, error, bool)
	stop   func()
	spare  *oplog.Entry // read, but too large for the page before
	byLog  bool
	wire   int // bytes of the page being read, as they travel at most
	closed bool
}

// Open opens a snapshot for a session. Own writes in it that are not on disk
// yet are synced first: nothing of our own leaves before it is durable.
func (d *Donor) Open(a syncer.OpenSnapshot) syncer.SnapshotOpened {
	ev := syncer.SnapshotOpened{Session: a.Session}
	b, err := held(d.store, a.Bucket)
	if err != nil {
		ev.Err = err
		return ev
	}
	snap, err := b.Snapshot()
	if err != nil {
		ev.Err = err
		return ev
	}
	// Not only if Own is above DurableSeq: the two may be of different epochs.
	// Where nothing is unsynced, Sync does nothing.
	if err := d.store.Sync(); err != nil {
		ev.Err = fmt.Errorf("sync before serving: %w", err)
		_ = snap.Close() // the sync error says more
		return ev
	}
	d.mu.Lock()
	d.streams[a.Session] = &stream{snap: snap}
	d.mu.Unlock()
	ev.Clock, ev.Ahead, ev.Rows = snap.Clock, snap.Ahead, snap.Count
	ev.GCV, ev.GCTS, ev.HLC, ev.Sums = snap.GCV, snap.GCTS, snap.HLC, &snap.Sums
	ev.Bad = snap.Bad
	return ev
}

var errNoSnapshot = errors.New("the session has no open snapshot")

// Read reads the next page. Of a session that is closed it reads an error, not an
// end: what was not sent was not sent.
func (d *Donor) Read(a syncer.ReadPage) syncer.PageRead {
	d.mu.Lock()
	st := d.streams[a.Session]
	d.mu.Unlock()
	if st == nil {
		return syncer.PageRead{Session: a.Session, Err: errNoSnapshot}
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return syncer.PageRead{Session: a.Session, Err: errNoSnapshot}
	}
	if st.next == nil {
		st.begin(a)
	}
	return st.page(a)
}

func (st *stream) begin(a syncer.ReadPage) {
	rows := st.snap.Log(a.Above)
	if st.byLog = !a.KeyOrder; a.KeyOrder {
		rows = st.snap.Rows(a.Above, a.After)
	}
	switch {
	case a.Wanted != nil:
		rows = st.snap.Parts(a.Wanted, a.After)
	case a.Whole:
		rows = st.snap.Counted(a.After)
	}
	st.next, st.stop = iter.Pull2(rows)
}

func (st *stream) page(a syncer.ReadPage) syncer.PageRead {
	ev := syncer.PageRead{Session: a.Session, Last: a.After}
	st.wire = 0
	for {
		e, err, ok := st.take()
		if err != nil {
			ev.Err = err
			ev.Corrupt = store.IsCorrupt(err)
			return ev
		}
		if !ok {
			ev.End = true
			return ev
		}
		if e.Stamp.IsZero() { // a stop for breath
			if ev.Last = e.Key; len(ev.Entries) == 0 {
				return ev
			}
			continue
		}
		if a.Rest {
			continue
		}
		if len(ev.Entries) > 0 && ev.Size+e.Size() > a.Limit && !st.keepTogether(&ev.Entries[len(ev.Entries)-1], &e) {
			st.spare = &e
			return ev
		}
		st.wire += e.MaxSize()
		ev.Entries = append(ev.Entries, e)
		ev.Size += e.Size()
		ev.Last = e.Key
	}
}

// pageRoom is what a page may take on the wire, beside what names its session.
const pageRoom = oplog.MaxBody - 64<<10

// keepTogether reports whether next goes into the page of last though the page
// is full: in log order no page ends within an atomic batch, so that the puller
// has it whole or not at all. A batch that does not fit a message is none that a
// correct master wrote.
func (st *stream) keepTogether(last, next *oplog.Entry) bool {
	return st.byLog && last.SameBatch(next) && st.wire+next.MaxSize() <= pageRoom
}

func (st *stream) take() (oplog.Entry, error, bool) {
	if st.spare != nil {
		e := *st.spare
		st.spare = nil
		return e, nil, true
	}
	return st.next()
}

// Close ends a session, waiting for a page that is being read. Closing one that
// is not open does nothing.
func (d *Donor) Close(session uint64) error {
	d.mu.Lock()
	st := d.streams[session]
	delete(d.streams, session)
	d.mu.Unlock()
	if st == nil {
		return nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closed = true
	if st.stop != nil {
		st.stop()
	}
	return st.snap.Close()
}

// Sessions returns how many snapshots are open.
func (d *Donor) Sessions() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.streams)
}

// CloseAll ends every session, at shutdown.
func (d *Donor) CloseAll() error {
	d.mu.Lock()
	var open []uint64
	for id := range d.streams {
		open = append(open, id)
	}
	d.mu.Unlock()
	var first error
	for _, id := range open {
		if err := d.Close(id); err != nil && first == nil {
			first = err
		}
	}
	return first
}
