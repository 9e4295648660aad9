package api

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// The limits of one stream.
const (
	streamWindow     = 256      // messages sent and not yet acknowledged
	streamQueueBytes = 32 << 20 // lines waiting; one is always let in
)

// The types of a stream's messages.
const (
	streamOpen  = "open"      // the first: everything from now on is told
	streamLines = "lines"     // one JSON object a line
	streamAlive = "heartbeat" // nothing happened
	streamDone  = "done"      // the last: all was told
	streamError = "error"     // the last: it ended early
)

// A streamHead is the first line of every message of a stream.
type streamHead struct {
	V      int    `json:"v"`
	Type   string `json:"type"`
	Stream string `json:"stream"`
	Number uint64 `json:"number"` // counts the messages of the stream, from 1
	Node   string `json:"node"`
	Error  *Error `json:"error,omitempty"`
}

// A source feeds a stream until it has told all, fails, or ctx ends. Its push
// takes one line without its end, waits until there is room for it, and is false
// when ctx has ended.
type source func(ctx context.Context, push func(ctx context.Context, line []byte) bool) error

// A stream is one watch or sync that a client follows.
type stream struct {
	id      string
	reply   string
	service *Service
	cancel  context.CancelCauseFunc
	queue   chan []byte
	queued  atomic.Int64  // bytes in queue
	drained chan struct{} // holds one while there may be room again
	touched chan struct{} // holds one while there is news in the fields below

	mu      sync.Mutex // guards all below
	acked   uint64
	renewed time.Time

	sent uint64 // used by the sender only
}

// streams are those that run, by id.
type streams struct {
	mu   sync.Mutex // guards open
	open map[string]*stream
}

func (ss *streams) count() int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return len(ss.open)
}

func (ss *streams) find(id string) *stream {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.open[id]
}

func (ss *streams) add(st *stream, limit int) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if len(ss.open) >= limit {
		return false
	}
	ss.open[st.id] = st
	return true
}

func (ss *streams) remove(st *stream) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.open, st.id)
}

func (ss *streams) end(cause error) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, st := range ss.open {
		st.cancel(cause)
	}
}

// startStream opens a stream that src feeds. ctx is the service's own.
func (s *Service) startStream(r *request, ctx context.Context, cancel context.CancelCauseFunc, src source) error { //nolint:revive // made by the caller, ended by the stream
	if r.reply == "" {
		cancel(nil)
		return ErrBadRequest.With("no reply subject")
	}
	st := &stream{
		id: rand.Text(), reply: r.reply, service: s, cancel: cancel,
		queue: make(chan []byte, s.opts.Queue), touched: make(chan struct{}, 1), drained: make(chan struct{}, 1), renewed: time.Now(),
	}
	if !s.streams.add(st, s.opts.Streams) {
		cancel(nil)
		return ErrOverloaded.With("%d streams are open", s.opts.Streams)
	}
	if !s.run(func() { st.run(ctx, src) }) {
		s.streams.remove(st)
		cancel(nil)
		return ErrStopping
	}
	return nil
}

// run follows src until it ends or the client is gone, and waits for it.
func (st *stream) run(ctx context.Context, src source) {
	defer st.service.streams.remove(st)
	defer st.cancel(nil)
	var err error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err = src(ctx, st.push); err != nil {
			st.cancel(err) // what still waits is not worth waiting for
		}
		close(st.queue)
	}()
	st.send(streamOpen, nil, nil)
	cause := st.follow(ctx)
	st.cancel(cause)
	<-ended
	if cause == nil {
		cause = err
	}
	st.finish(cause)
}

func (st *stream) finish(cause error) {
	if cause == nil {
		st.send(streamDone, nil, nil)
		return
	}
	st.send(streamError, nil, AsError(cause))
}

// push waits while more lines wait than a client may leave. It is called by one
// goroutine.
func (st *stream) push(ctx context.Context, line []byte) bool {
	size := int64(len(line))
	for queued := st.queued.Load(); queued > 0 && queued+size > streamQueueBytes; queued = st.queued.Load() {
		select {
		case <-st.drained:
		case <-ctx.Done():
			return false
		}
	}
	st.queued.Add(size)
	select {
	case st.queue <- line:
		return true
	case <-ctx.Done():
		return false
	}
}

// took notes that a line waits no more.
func (st *stream) took(line []byte) {
	st.queued.Add(-int64(len(line)))
	select {
	case st.drained <- struct{}{}:
	default:
	}
}

// follow sends what is queued, as far as the window is open, until the queue
// ends (nil), ctx does, or the lease lapses.
func (st *stream) follow(ctx context.Context) error {
	alive := time.NewTicker(st.service.opts.Heartbeat)
	defer alive.Stop()
	for {
		queue := st.queue
		if !st.open() {
			queue = nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-st.touched:
		case line, ok := <-queue:
			if !ok {
				return nil
			}
			st.sendLines(line)
			alive.Reset(st.service.opts.Heartbeat)
		case <-alive.C:
			st.send(streamAlive, nil, nil)
		}
		if st.lapsed() {
			return ErrLapsed
		}
	}
}

// sendLines sends first and what else waits, as far as one message holds it.
func (st *stream) sendLines(first []byte) {
	body := append([]byte(nil), first...)
	body = append(body, '\n')
	st.took(first)
	for len(body) < pageBytes/2 {
		select {
		case line, ok := <-st.queue:
			if !ok {
				st.send(streamLines, body, nil)
				return // follow meets the end again
			}
			st.took(line)
			body = append(append(body, line...), '\n')
			continue
		default:
		}
		break
	}
	st.send(streamLines, body, nil)
}

func (st *stream) send(kind string, lines []byte, e *Error) {
	st.sent++
	head := streamHead{V: 1, Type: kind, Stream: st.id, Number: st.sent, Node: st.service.backend.Name(), Error: e}
	var header nats.Header
	if e != nil {
		header, _ = e.message()
	}
	st.service.answer(st.reply, header, append(append(mustJSON(head), '\n'), lines...))
}

// open reports whether the client may be sent more.
func (st *stream) open() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.sent < st.acked+streamWindow
}

func (st *stream) lapsed() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return time.Since(st.renewed) > st.service.opts.Lease
}

// renew notes that the client is there and has taken messages up to number.
func (st *stream) renew(number uint64) {
	st.mu.Lock()
	st.acked = max(st.acked, number)
	st.renewed = time.Now()
	st.mu.Unlock()
	select {
	case st.touched <- struct{}{}:
	default:
	}
}

var errStopped = &Error{Code: "stopped", Status: 499, Text: "stopped by the client"}

// aboutStream does what a client says of a stream that runs.
func (s *Service) aboutStream(ask rangeBody) (*reply, error) {
	st := s.streams.find(ask.Renew + ask.Stop)
	if st == nil || ask.Renew != "" && ask.Stop != "" {
		return nil, ErrNoStream
	}
	if ask.Stop != "" {
		st.cancel(errStopped)
	} else {
		st.renew(ask.Number)
	}
	return &reply{body: []byte(`{"v":1}`)}, nil
}

func (s *Service) watch(_ context.Context, r *request) (*reply, error) {
	ask, keys, err := parseRange(r.body)
	if err != nil {
		return nil, err
	}
	if ask.Renew != "" || ask.Stop != "" {
		return s.aboutStream(ask)
	}
	if err := userBucket(r); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(s.ctx)
	q := WatchQuery{
		Prefix: keys.Prefix, FromStart: ask.FromStart, Resume: ask.Resume, Marks: ask.Marks, PutsOnly: ask.PutsOnly, MetaOnly: ask.MetaOnly,
	}
	events := s.backend.Watch(ctx, r.bucket, q)
	return nil, s.startStream(r, ctx, cancel, func(ctx context.Context, push func(context.Context, []byte) bool) error {
		for ev, err := range events {
			if err != nil {
				return err
			}
			if !push(ctx, ev.AppendJSON(nil, q.MetaOnly)) {
				return context.Cause(ctx)
			}
		}
		return nil
	})
}

// AppendJSON appends the event as one line, without its end: a record, or a mark.
func (ev *WatchEvent) AppendJSON(b []byte, metaOnly bool) []byte {
	if ev.Mark != nil {
		return append(append(append(b, `{"mark":`...), mustJSON(ev.Mark)...), '}')
	}
	rec := RecordOf(&ev.Entry)
	rec.Local, rec.Bare = ev.Local, rec.Bare || metaOnly
	return rec.AppendJSON(b)
}

func (s *Service) sync(_ context.Context, r *request) (*reply, error) {
	ask, _, err := parseRange(r.body)
	if err != nil {
		return nil, err
	}
	if ask.Renew != "" || ask.Stop != "" {
		return s.aboutStream(ask)
	}
	bucket, err := scope(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(s.ctx)
	return nil, s.startStream(r, ctx, cancel, func(ctx context.Context, push func(context.Context, []byte) bool) error {
		return s.backend.Sync(ctx, bucket, func(p SyncProgress) {
			_ = push(ctx, mustJSON(p))
		})
	})
}
