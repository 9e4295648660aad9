package simnet

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"replicator/oplog"
	"replicator/store"
	"replicator/watch"
)

// A reader is an application that watches a bucket at one node, through the real hub,
// and goes on at another, with the token of the last mark, when that node ends, when
// its watch does, or when it likes to.
type reader struct {
	w      *World
	name   string
	bucket string
	now    bool // it begins with what comes, not with what is there

	node  *Node // where it is; nil while it is on its way
	last  *Node // where it was before
	watch *watch.Reader
	token string // of the last mark; empty: it has to begin from the start
	stay  int    // counts moves: appointments of an earlier stay are void
	awake time.Time

	rows      rowsRead
	opening   bool // it waits for a snapshot
	scheduled bool // an appointment to read on is made
	ticking   bool // likewise, to ask for a mark

	account
}

// rowsRead are the rows of a snapshot that are being told.
type rowsRead struct {
	snap     *store.Snapshot
	next     func() (oplog.Entry, error, bool)
	stop     func()
	caughtUp bool // the mark behind them says so
}

// errWiped ends what readers of a replica are told that empties the bucket.
var errWiped = errors.New("simnet: the bucket was emptied")

func (w *World) addReaders() {
	for _, bucket := range w.cfg.Buckets {
		for i := range w.cfg.Readers {
			r := &reader{w: w, bucket: bucket, name: fmt.Sprintf("reader %d of %s", i+1, bucket), now: w.reading.IntN(3) == 0}
			r.restart()
			w.readers = append(w.readers, r)
			w.Stats.Count[Readers]++
			r.later(r.pause(time.Second), r.settle)
		}
	}
}

// stir has readers go elsewhere, or read nothing for a while, now and then.
func (w *World) stir() {
	for _, r := range w.readers {
		switch w.reading.IntN(24) {
		case 0:
			r.leave()
		case 1, 2, 3:
			r.awake = w.now.Add(r.pause(10 * time.Second))
		}
	}
}

func (r *reader) pause(most time.Duration) time.Duration {
	return time.Duration(r.w.reading.Int64N(int64(most)))
}

// later makes do happen unless the reader has gone elsewhere by then.
func (r *reader) later(d time.Duration, do func()) {
	stay := r.stay
	r.w.after(d, func() {
		if r.stay == stay {
			do()
		}
	})
}

// settle begins to read at some node that runs and holds the bucket.
func (r *reader) settle() {
	var up []*Node
	for _, n := range r.w.nodes {
		if n.holds(r.bucket) {
			up = append(up, n)
		}
	}
	if len(up) == 0 {
		r.later(time.Second, r.settle)
		return
	}
	n := up[r.w.reading.IntN(len(up))]
	if r.last != nil && r.last.holds(r.bucket) && r.w.reading.IntN(3) == 0 {
		n = r.last
	}
	r.sitAt(n)
}

func (r *reader) sitAt(n *Node) {
	b, _ := n.store.Bucket(r.bucket)
	r.node, r.watch = n, watch.NewReader(n.hubs[r.bucket], n.store, b, nil)
	r.w.note("%s is at %s", r.name, n.name)
	switch {
	case r.token != "":
		if err := r.watch.Resume(r.token); err != nil {
			n.blame(fmt.Errorf("%s: its token: %w", r.name, err))
			return
		}
		if n == r.last {
			r.w.Stats.Count[ResumedHere]++
		} else {
			r.w.Stats.Count[ResumedElsewhere]++
		}
		r.sit(r.clock)
		r.open(false, true)
	case r.now && r.list(b):
		r.now = false
		r.watch.JoinNow()
		r.sit(nil)
		r.at = len(n.queued[r.bucket])
	default:
		r.restart()
		r.sit(nil)
		r.open(true, true)
	}
	r.last = n
}

// list has the reader know what is there, and on the disk, before it begins with what
// comes. It reports whether it could.
func (r *reader) list(b *store.Bucket) bool {
	r.node.report(r.node.store.Sync())
	for e, err := range b.Scan(store.ScanOptions{}) {
		if err != nil {
			return false
		}
		r.knows[string(e.Key)] = e
	}
	return true
}

// open takes a snapshot, to be told of the rows in it.
func (r *reader) open(fromStart, caughtUp bool) {
	snap, err := r.watch.Join()
	switch r.opening = errors.Is(err, store.ErrReconciling); {
	case r.opening:
		r.later(50*time.Millisecond, func() { r.open(fromStart, caughtUp) })
		return
	case errors.Is(err, errFull):
		r.leave()
		return
	case errors.Is(err, errWiped):
		r.lost(WipedReads)
		return
	}
	r.node.report(err)
	r.at = len(r.node.queued[r.bucket])
	r.rows = rowsRead{snap: snap, caughtUp: caughtUp}
	r.rows.next, r.rows.stop = iter.Pull2(r.watch.Rows(snap, fromStart, r.node.wall()))
	r.wake()
}

// leave ends the stay, and the reader looks for another place after a while.
func (r *reader) leave() {
	r.cut()
	r.later(r.pause(2*time.Second), r.settle)
}

// cut ends the stay.
func (r *reader) cut() {
	r.close()
	if r.watch != nil {
		r.watch.Leave()
	}
	r.stay++
	r.node, r.watch, r.scheduled, r.ticking, r.opening = nil, nil, false, false, false
}

func (r *reader) close() {
	if r.rows.snap == nil {
		return
	}
	r.rows.stop()
	r.node.report(r.rows.snap.Close())
	r.rows = rowsRead{}
}

// wake has the reader read on after a while.
func (r *reader) wake() {
	if r.scheduled || r.opening {
		return
	}
	r.scheduled = true
	r.later(max(r.pause(20*time.Millisecond), r.awake.Sub(r.w.now)), func() {
		r.scheduled = false
		r.read()
	})
}

// read takes some of what there is to be told.
func (r *reader) read() {
	stay, more := r.stay, true
	for range 1 + r.w.reading.IntN(8) {
		more = r.rows.snap != nil && r.readRow() || r.rows.snap == nil && r.readEvent()
		if !more || r.stay != stay || r.opening {
			break
		}
	}
	if r.stay != stay || r.opening {
		return
	}
	if more || r.rows.snap != nil {
		r.wake()
	}
	r.tick()
}

// tick asks for a mark in a while, and again until one covers all.
func (r *reader) tick() {
	if r.ticking || r.opening || r.rows.snap != nil || !r.watch.Unmarked() {
		return
	}
	r.ticking = true
	r.later(watch.MarkEvery, func() {
		if r.ticking = false; !r.opening && r.rows.snap == nil && r.watch.Unmarked() {
			r.node.mark(r.bucket, false)
		}
		r.tick()
	})
}

// readRow is told one row of the snapshot. It reports whether there may be more.
func (r *reader) readRow() bool {
	e, err, ok := r.rows.next()
	switch {
	case errors.Is(err, watch.ErrTokenExpired):
		kind := LeftBehind
		if r.rows.caughtUp {
			kind = ExpiredTokens
		}
		r.lost(kind)
	case err != nil:
		if !store.IsCorrupt(err) && !errors.Is(err, errFull) {
			r.node.report(err)
		}
		r.leave()
	case ok:
		r.hear(&e)
	default:
		snap := r.rows.snap
		caughtUp := r.rows.caughtUp
		r.watch.Replayed(snap)
		r.close()
		r.mark(caughtUp)
		r.wake()
	}
	return ok
}

// readEvent takes what the hub has told, if anything. It reports whether it did.
func (r *reader) readEvent() bool {
	select {
	case t, open := <-r.watch.Events():
		if !open {
			r.ended()
			return false
		}
		r.take(t)
		return true
	default:
		return false
	}
}

func (r *reader) take(t *watch.Telling) {
	switch news, err := r.watch.Take(t); {
	case err != nil:
		r.lost(ExpiredTokens)
	case t.Gate != nil:
	case t.Mark != nil:
		r.mark(false)
	default:
		r.follows(&t.Entry)
		if !news {
			return
		}
		if r.watch.Crowded() {
			r.node.mark(r.bucket, true)
		}
		r.hear(&t.Entry)
	}
}

// ended goes on after the hub has let the reader go.
func (r *reader) ended() {
	switch err := r.watch.Why(); {
	case errors.Is(err, watch.ErrFellBehind):
		r.w.Stats.Count[Rereads]++
		r.w.note("%s fell behind", r.name)
		r.open(false, false)
	case errors.Is(err, errWiped):
		r.lost(WipedReads)
	default:
		r.node.blame(fmt.Errorf("%s: it ended with %w", r.name, err))
	}
}

// lost has the reader forget all and begin from the start.
func (r *reader) lost(why Kind) {
	r.w.Stats.Count[why]++
	r.w.note("%s begins anew: %s", r.name, why)
	r.restart()
	r.leave()
}

func (r *reader) restart() {
	r.token, r.account = "", account{knows: map[string]oplog.Entry{}}
}

// quiet reports whether the reader has been told all there is.
func (r *reader) quiet() bool {
	if r.node == nil || r.opening || r.rows.snap != nil || r.scheduled || len(r.watch.Events()) > 0 {
		return false
	}
	if pending, _, _ := r.node.hubs[r.bucket].Held(); pending > 0 {
		return false
	}
	b, _ := r.node.store.Bucket(r.bucket)
	return !r.watch.Unmarked() || len(b.Ahead()) > 0 // of which no mark can be
}

// release has readers told what may be told.
func (n *Node) release(bucket string) {
	b, held := n.store.Bucket(bucket)
	if !held {
		return
	}
	n.hubs[bucket].Release(b.DurableCovers)
	n.wakeReaders(bucket)
}

func (n *Node) wakeReaders(bucket string) {
	for _, r := range n.w.readers {
		if r.node == n && r.bucket == bucket {
			r.wake()
		}
	}
}

// mark has readers told how far all is told.
func (n *Node) mark(bucket string, many bool) {
	b, _ := n.store.Bucket(bucket)
	n.hubs[bucket].QueueMark(n.steady(), many, b.Clock)
	n.release(bucket)
}

// openHub has readers told of a bucket from now on.
func (n *Node) openHub(bucket string) {
	n.hubs[bucket], n.queued[bucket], n.back[bucket] = watch.NewHub(n.w.cfg.Watch), nil, map[oplog.Dot]bool{}
}

// sendReadersAway ends the stays at a node that ends.
func (n *Node) sendReadersAway() {
	for _, bucket := range n.w.cfg.Buckets {
		n.sendReadersOf(bucket)
	}
}

// sendReadersOf ends the stays at a bucket that the node leaves.
func (n *Node) sendReadersOf(bucket string) {
	for _, r := range n.w.readers {
		if r.node == n && r.bucket == bucket {
			r.leave()
		}
	}
}
