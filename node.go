package replicator

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"replicator/api"
	"replicator/bus"
	"replicator/carry"
	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
)

// A Node is a running master, or a replica. Its methods may be used by many goroutines.
type Node struct {
	cfg   Config
	log   *slog.Logger
	self  oplog.Instance
	store *store.Store
	donor *carry.Donor
	bus   *bus.Bus

	engine *syncer.Engine    // used by the engine's loop only
	events chan syncer.Event // to the engine's loop
	asks   chan func()       // run by the engine's loop, between events
	fence  atomic.Pointer[string]
	online atomic.Bool

	service *api.Service

	ctx    context.Context //nolint:containedctx // the life of the node's loops, ended by Close
	cancel context.CancelFunc
	group  *errgroup.Group

	mu      sync.Mutex // guards loops and closed
	loops   map[string]*loop
	closed  bool
	dirty   chan struct{} // something was merged and is not synced yet
	touched map[string]bool

	closeOnce sync.Once
	closeErr  error
}

// eventBacklog is how many events may wait for the engine; the readers of the
// network wait when it is full, and what waits behind them is bounded by bus.
const eventBacklog = 1024

// Open opens the store in cfg.Dir and joins the fleet. ctx bounds the opening
// alone; the node runs until Close. NATS need not be reachable: the node reads
// and writes alone until it is. The errors that callers branch on are
// *LockedError, *NodeNameError, *UnreadableError, ErrNewerFormat and
// ErrHasWritten.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, log: cfg.Logger, events: make(chan syncer.Event, eventBacklog), asks: make(chan func()),
		loops: map[string]*loop{}, dirty: make(chan struct{}, 1), touched: map[string]bool{},
	}
	if err := n.openStore(); err != nil {
		return nil, err
	}
	if err := n.start(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) openStore() error {
	kv, err := store.OpenPebble(n.cfg.Dir, store.PebbleOptions{
		CacheBytes: n.cfg.CacheBytes, Logger: n.log, OnFailure: n.storeFailed,
	})
	if err != nil {
		return err
	}
	now := time.Now()
	if n.cfg.Node == "" {
		if n.cfg.Node, err = nameIn(kv); err != nil {
			return errors.Join(err, kv.Close())
		}
	}
	nonce := newNonce()
	n.store, err = store.Open(kv, now, store.Options{
		Node: n.cfg.Node, Nonce: nonce, Epoch: newEpoch, MaxDrift: n.cfg.MaxDrift,
		Replica: n.cfg.Replica, Ambiguous: n.cfg.Ambiguous,
	})
	if err != nil {
		return errors.Join(err, kv.Close())
	}
	n.donor = carry.NewDonor(n.store)
	n.self = oplog.Instance{
		Node: n.store.Node(), Nonce: nonce, Prev: n.store.PrevNonce(), Started: now.UnixMilli(), Version: n.cfg.Version,
		Replica: n.cfg.Replica,
	}
	return nil
}

// start makes the parts that talk, and the loops that feed them.
func (n *Node) start() error {
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.group, _ = errgroup.WithContext(n.ctx)
	joinAll := n.cfg.Buckets == nil
	names := slices.Clone(n.cfg.Buckets)
	if joinAll {
		names = append(n.store.Buckets(), DefaultBucket)
	}
	var err error
	n.bus, err = bus.New(n.cfg.Conn, bus.Options{
		Node: n.self.Node, Prefix: n.cfg.Prefix, Deliver: n.deliver, Notify: n.notice, Logger: n.log,
	})
	if err != nil {
		return err
	}
	n.self.MaxPayload = uint64(max(n.cfg.Conn.MaxPayload(), 0))
	members, err := carry.Members(n.store)
	if err != nil {
		return err
	}
	n.engine = syncer.New(n.self, carry.View{Store: n.store}, syncer.Options{
		JoinAll: joinAll, Members: members, EvictAfter: n.cfg.EvictAfter, EvictReplicasAfter: n.cfg.EvictReplicasAfter, CollectEvery: n.cfg.CollectEvery,
	})
	n.group.Go(n.runEngine)
	n.group.Go(n.runSync)
	n.group.Go(n.runDiskGuard)
	if err := n.bus.Start(); err != nil {
		return err
	}
	for _, name := range names {
		if _, err := n.join(name); err != nil {
			return err
		}
	}
	n.service, err = api.NewService(n.cfg.Conn, serviceBackend{n}, n.serviceOptions())
	return err
}

// Replica reports whether the node only follows and takes no writes.
func (n *Node) Replica() bool { return n.cfg.Replica }

// Name returns the node's name.
func (n *Node) Name() string { return n.self.Node }

// Version returns what the node says of itself to others.
func (n *Node) Version() string { return n.cfg.Version }

// Ready reports whether the node serves requests. A node that is fenced, or whose
// disk is full, still answers reads: Status tells why it refuses writes.
func (n *Node) Ready() bool { return n.ctx.Err() == nil }

// Bucket returns a bucket that this node holds, or ErrNoBucket.
func (n *Node) Bucket(name string) (*Bucket, error) {
	l, err := n.loop(name)
	if err != nil {
		return nil, err
	}
	return &Bucket{node: n, loop: l}, nil
}

// CreateBucket makes this node hold a bucket, and with it, since they hear of
// it, every node that holds all buckets. One that is held already is returned.
func (n *Node) CreateBucket(name string) (*Bucket, error) {
	if err := bus.ValidBucket(name); err != nil {
		return nil, err
	}
	l, err := n.join(name)
	if err != nil {
		return nil, err
	}
	return &Bucket{node: n, loop: l}, nil
}

// Buckets lists the buckets that this node holds, in order.
func (n *Node) Buckets() []string { return n.store.Buckets() }

func (n *Node) loop(name string) (*loop, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	if l := n.loops[name]; l != nil {
		return l, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrNoBucket, name)
}

// join makes the store hold a bucket and follows its live subjects.
func (n *Node) join(name string) (*loop, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	if l := n.loops[name]; l != nil {
		return l, nil
	}
	b, err := n.store.Join(name)
	if err != nil {
		return nil, err
	}
	if err := n.bus.Join(name); err != nil {
		return nil, err
	}
	l := newLoop(n, b, name)
	n.loops[name] = l
	n.group.Go(l.runCommits)
	n.group.Go(l.runApplies)
	n.group.Go(func() error { n.feed(syncer.Joined{Bucket: name}); return nil })
	return l, nil
}

// Close ends the node cleanly: writes that wait are finished and published, a
// last heartbeat says that the node stops, and the store is synced and closed.
// The connection stays open. Closing again returns what the first one did.
func (n *Node) Close() error {
	n.closeOnce.Do(func() { n.closeErr = n.shutdown() })
	return n.closeErr
}

func (n *Node) shutdown() error {
	n.mu.Lock()
	n.closed = true
	loops := make([]*loop, 0, len(n.loops))
	for _, l := range n.loops {
		loops = append(loops, l)
	}
	n.mu.Unlock()
	var errs []error
	if n.service != nil {
		errs = append(errs, n.stopService())
	}
	for _, l := range loops {
		l.finishWrites()
	}
	if n.bus != nil {
		n.feed(syncer.Stopping{})
		n.ask(func() {}) // the last heartbeat is published once this has run
	}
	if n.cancel != nil {
		n.cancel()
		errs = append(errs, n.group.Wait())
	}
	if n.bus != nil {
		errs = append(errs, n.bus.Close(), n.flush())
	}
	errs = append(errs, n.donor.CloseAll(), n.store.Close())
	return errors.Join(errs...)
}

// stopService lets requests being worked on end, in bounded time.
func (n *Node) stopService() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return n.service.Stop(ctx)
}

// flush waits a moment for the server to take what was published last.
func (n *Node) flush() error {
	if !n.cfg.Conn.IsConnected() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := n.cfg.Conn.FlushWithContext(ctx); err != nil && n.cfg.Conn.IsConnected() {
		return fmt.Errorf("flush at close: %w", err)
	}
	return nil
}

func (n *Node) storeFailed(err error) {
	n.log.Error("store failed, the node is read-only until it is started again", "error", err)
}

func newNonce() oplog.Nonce {
	var nonce oplog.Nonce
	_, _ = rand.Read(nonce[:]) // never fails
	return nonce
}

func newEpoch() uint64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // never fails
		if epoch := binary.BigEndian.Uint64(b[:]); epoch != 0 {
			return epoch
		}
	}
}
