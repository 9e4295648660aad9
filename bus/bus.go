package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// flushTimeout stands in for the deadline of a context that has none: the
// library refuses to wait without one.
const flushTimeout = 10 * time.Second

// Options tune a Bus. Node and Deliver are required.
type Options struct {
	// Node is the name of this node.
	Node string
	// Prefix stands before all subjects. Default DefaultPrefix.
	Prefix string
	// MaxFrame is the largest message sent, live or frame. What the server and
	// the peers take in one message, and FrameFailed, lower it further; see
	// FrameLimit. Default 256 KiB.
	MaxFrame int
	// MaxBody is the largest body that is sent or put together from frames.
	// Default 24 MiB.
	MaxBody int
	// MaxAssemblies is how many bodies may be unfinished at once. Default 256.
	MaxAssemblies int
	// AssemblyTimeout is the longest pause between two frames of one body.
	// Default 30s.
	AssemblyTimeout time.Duration
	// AssemblyBytes bounds the memory of all unfinished bodies. Default 64 MiB,
	// and at least twice MaxBody.
	AssemblyBytes int
	// PendingBytes bounds what waits for Deliver in each live subscription.
	// More is dropped and noticed as Lost. Default 32 MiB. The three other
	// subscriptions keep the library's limits (64 MiB, 500,000 messages).
	PendingBytes int
	// Deliver takes messages, one at a time for each subscription and so from
	// several goroutines at once. It may block: what waits behind it is bounded.
	// It must return for Close to return, and must not call Close.
	Deliver func(Message)
	// Notify takes notices, from several goroutines at once. It must not block
	// for long and must not call Close. Optional.
	Notify func(Notice)
	// Logger takes what only a developer wants to know. Default: nothing.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	o.MaxFrame = orDefault(o.MaxFrame, 256<<10)
	o.MaxBody = orDefault(o.MaxBody, 24<<20)
	o.AssemblyTimeout = orDefault(o.AssemblyTimeout, 30*time.Second)
	o.AssemblyBytes = orDefault(o.AssemblyBytes, max(64<<20, 2*o.MaxBody))
	o.PendingBytes = orDefault(o.PendingBytes, 32<<20)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) check() error {
	if err := ValidNode(o.Node); err != nil {
		return err
	}
	if err := ValidPrefix(o.Prefix); err != nil {
		return err
	}
	if o.Deliver == nil {
		return errors.New("bus: Options.Deliver is missing")
	}
	if o.MaxFrame < MinFrame {
		return fmt.Errorf("bus: MaxFrame %d is below %d", o.MaxFrame, MinFrame)
	}
	if o.AssemblyBytes < o.MaxBody+o.MaxBody/4 {
		return fmt.Errorf("bus: AssemblyBytes %d leave no room for a body of %d", o.AssemblyBytes, o.MaxBody)
	}
	return nil
}

// A Bus carries the messages of one node over one connection, which stays the
// caller's.
type Bus struct {
	nc        *nats.Conn
	opts      Options
	subjects  Subjects
	assembler *Assembler
	stats     counters
	limits    limits
	bodyID    atomic.Uint64
	state     atomic.Int64 // a State as last watched; 0 before Start
	payload   atomic.Int64 // max_payload as last read

	gate    gate           // around every call of Deliver and Notify
	stop    chan struct{}  // closed by Close
	running sync.WaitGroup // the watchers

	mu      sync.Mutex // guards all below but chained once started
	started bool
	closed  bool
	feeds   []*feed          // heartbeats, sync, replies
	joined  map[string]*feed // live messages, by bucket
	status  chan nats.Status
	chained nats.ErrHandler // the caller's, called after ours; fixed by Start
}

// New makes a Bus over nc. It starts nothing. The connection should have no
// reconnect buffer, as ConnectOptions sees to; a Bus does not publish while the
// connection is known to be down in any case.
func New(nc *nats.Conn, o Options) (*Bus, error) {
	if nc == nil {
		return nil, fmt.Errorf("bus: %w", nats.ErrInvalidConnection)
	}
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	b := &Bus{
		nc:       nc,
		opts:     o,
		subjects: Subjects{Prefix: o.Prefix},
		assembler: NewAssembler(AssemblerOptions{
			MaxBody:       o.MaxBody,
			MaxAssemblies: o.MaxAssemblies,
			MaxMemory:     o.AssemblyBytes,
			Timeout:       o.AssemblyTimeout,
		}),
		stop:   make(chan struct{}),
		joined: make(map[string]*feed),
	}
	// A random start keeps the ids of two runs, or of two instances under one
	// name, apart at a receiver that still holds the beginning of a body.
	b.bodyID.Store(rand.Uint64())
	return b, nil
}

// Subjects gives the subjects this Bus uses.
func (b *Bus) Subjects() Subjects { return b.subjects }

// Start subscribes to heartbeats, to requests to this node and to its reply
// space, and watches the connection. The first notice tells its present state.
// It needs no connection yet: subscriptions are made when there is one.
// Starting twice is fine.
func (b *Bus) Start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	if b.started {
		return nil
	}
	b.chained = b.nc.ErrorHandler()
	b.nc.SetErrorHandler(b.onError)
	if err := b.openFeeds(); err != nil {
		err = errors.Join(err, b.closeFeeds())
		b.restoreHandler()
		return err
	}
	b.status = b.nc.StatusChanged(nats.CONNECTED, nats.DISCONNECTED, nats.RECONNECTING, nats.CLOSED)
	b.running.Add(1)
	go b.watch(b.status)
	b.started = true
	return nil
}

func (b *Bus) openFeeds() error {
	for _, want := range []struct {
		kind    Kind
		subject string
		take    func(*nats.Msg)
	}{
		{KindHeartbeat, b.subjects.HeartbeatAll(), b.takeHeartbeat},
		{KindSync, b.subjects.SyncTo(b.opts.Node), b.takeSync},
		{KindReply, b.subjects.ReplyAll(b.opts.Node), b.takeReply},
	} {
		f, err := b.open(want.kind, "", want.subject, want.take)
		if err != nil {
			return err
		}
		b.feeds = append(b.feeds, f)
	}
	return nil
}

// Join subscribes to the live messages of bucket, which may be Fleet. Joining
// twice is fine. The subscription is sent, not yet confirmed: see Flush.
func (b *Bus) Join(bucket string) error {
	if err := checkBucket(bucket); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return ErrClosed
	case !b.started:
		return ErrNotStarted
	case b.joined[bucket] != nil:
		return nil
	}
	f, err := b.open(KindLive, bucket, b.subjects.LiveAll(bucket), b.takeLive)
	if err != nil {
		return err
	}
	b.joined[bucket] = f
	return nil
}

// Leave ends what Join began. A message that Deliver is already taking may
// still be in its hands when Leave returns. Leaving twice is fine.
func (b *Bus) Leave(bucket string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	f := b.joined[bucket]
	if f == nil {
		return nil
	}
	delete(b.joined, bucket)
	return f.close()
}

// Flush waits until the server has seen all that was published and subscribed
// before, or until ctx ends; 10s if it has no deadline.
func (b *Bus) Flush(ctx context.Context) error {
	if err := b.ready(); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, flushTimeout)
		defer cancel()
	}
	if err := b.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("flush: %w", offline(err))
	}
	return nil
}

// Close unsubscribes, puts the connection's error handler back, and returns
// once neither Deliver nor Notify runs any more. It leaves the connection open.
// Closing twice is fine.
func (b *Bus) Close() error {
	err := b.shut()
	b.running.Wait()
	b.gate.inside.Wait()
	return err
}

func (b *Bus) shut() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	b.gate.close()
	close(b.stop)
	if !b.started {
		return nil
	}
	err := b.closeFeeds()
	b.nc.RemoveStatusListener(b.status)
	b.restoreHandler()
	return err
}

func (b *Bus) closeFeeds() error {
	var errs []error
	for _, f := range b.feeds {
		errs = append(errs, f.close())
	}
	for _, f := range b.joined {
		errs = append(errs, f.close())
	}
	b.feeds = nil
	clear(b.joined)
	return errors.Join(errs...)
}
