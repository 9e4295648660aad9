package replicator

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
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
	cfg    Config
	log    *slog.Logger
	self   oplog.Instance
	store  *store.Store
	ticket ticketFile
	donor  *carry.Donor
	bus    *bus.Bus

	engine *syncer.Engine    // used by the engine's loop only
	events chan syncer.Event // to the engine's loop
	asks   chan func()       // run by the engine's loop, between events
	joined chan struct{}     // closed once the engine knows the buckets to begin with
	fence  atomic.Pointer[string]
	online atomic.Bool

	settings atomic.Pointer[map[string]BucketSettings] // of the fleet; never changed in place

	roster  atomic.Pointer[map[string]syncer.Retired] // who has left or was forgotten; never changed in place
	retired atomic.Pointer[string]                    // why this node is one of them, or about to be
	leaving atomic.Bool
	left    chan struct{}          // closed by Leave
	parting sync.Mutex             // held by Leave and LeaveBucket: what is handed over at a time is one thing
	departs atomic.Pointer[string] // what that is, for people
	heeding sync.Mutex             // held while roster and retired change together
	telling sync.Mutex             // held until the engine has been given what was read

	service *api.Service
	asking  sync.Mutex  // guards asker
	asker   *api.Client // what the node asks others by; nil until it does

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
		joined: make(chan struct{}), loops: map[string]*loop{}, dirty: make(chan struct{}, 1), touched: map[string]bool{},
		left: make(chan struct{}),
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
	n.ticket = ticketOf(n.cfg.Dir)
	ticket, err := n.ticket.take()
	if err != nil {
		n.log.Warn("the epoch of the last start is not kept", "error", err)
	}
	n.store, err = store.Open(kv, now, store.Options{
		Node: n.cfg.Node, Nonce: nonce, Epoch: newEpoch, Ticket: ticket, MaxDrift: n.cfg.MaxDrift,
		Replica: n.cfg.Replica, Ambiguous: n.cfg.Ambiguous,
	})
	if err != nil {
		return errors.Join(err, kv.Close())
	}
	n.donor = carry.NewDonor(n.store)
	n.self = oplog.Instance{
		Node: n.store.Node(), Nonce: nonce, Prev: n.store.PrevNonce(), Started: now.UnixMilli(), Version: n.cfg.Version,
		Starts: n.store.Starts(), Replica: n.cfg.Replica,
	}
	if n.self.Starts == 1 { // who has mistyped the folder should know
		n.log.Info("there was no store in the data folder: this is a new node", "node", n.self.Node, "data", n.cfg.Dir)
	}
	return nil
}

// start makes the parts that talk, and the loops that feed them.
func (n *Node) start() error {
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.group, _ = errgroup.WithContext(n.ctx)
	names := n.firstBuckets()
	members, err := carry.Members(n.store)
	if err != nil {
		return err
	}
	roster, ok := n.takeRoster()
	if !ok {
		return errors.New("replicator: the fleet's bucket cannot be read")
	}
	n.bus, err = bus.New(n.cfg.Conn, bus.Options{
		Node: n.self.Node, Prefix: n.cfg.Prefix, Deliver: n.deliver, Notify: n.notice, Logger: n.log,
	})
	if err != nil {
		return err
	}
	n.self.MaxPayload = uint64(max(n.cfg.Conn.MaxPayload(), 0))
	n.engine = syncer.New(n.self, carry.View{Store: n.store}, syncer.Options{
		Joins: n.mayJoin, Left: n.store.Left(), Wrote: n.store.Wrote(), Members: members, Retired: roster, Finals: n.readFinals(), EvictAfter: n.cfg.EvictAfter, EvictReplicasAfter: n.cfg.EvictReplicasAfter,
		CollectEvery: n.cfg.CollectEvery, ScrubEvery: n.cfg.ScrubEvery,
	})
	n.heedSettings()
	n.group.Go(n.runEngine)
	n.group.Go(n.runCollectAfter)
	n.group.Go(n.runSync)
	if err := n.bus.Start(); err != nil {
		return err
	}
	for _, name := range names {
		if _, err := n.join(name); err != nil {
			return err
		}
	}
	close(n.joined)
	// Not before the buckets are there: a node starts on a nearly full disk, to be
	// read, and what it writes until here is a few rows.
	n.group.Go(n.runDiskGuard)
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

// firstBuckets returns the buckets to hold from the start on: those named, and of
// those on the disk all that the node may hold.
func (n *Node) firstBuckets() []string {
	var names []string
	for _, name := range n.cfg.Buckets {
		if !strings.HasSuffix(name, "*") {
			names = append(names, name)
		}
	}
	for _, name := range n.store.Buckets() {
		if n.mayJoin(name) {
			names = append(names, name)
		}
	}
	if n.cfg.Buckets == nil && !slices.Contains(n.store.Left(), DefaultBucket) {
		names = append(names, DefaultBucket)
	}
	return append(names, bus.Fleet)
}

// mayJoin reports whether the node is set to hold a bucket. It never changes.
func (n *Node) mayJoin(bucket string) bool {
	return n.cfg.Buckets == nil || slices.ContainsFunc(n.cfg.Buckets, func(pattern string) bool { return bus.Among(pattern, bucket) })
}

// Bucket returns a bucket that this node holds, or ErrNoBucket.
func (n *Node) Bucket(name string) (*Bucket, error) {
	l, err := n.loop(name)
	if err != nil {
		return nil, err
	}
	return &Bucket{node: n, loop: l}, nil
}

// CreateBucket makes this node hold a bucket, and with it, since they hear of
// it, every node that holds all buckets. One that is held already is returned. A
// *CreateError refuses one that nobody holds, if it may not be made here.
func (n *Node) CreateBucket(name string) (*Bucket, error) {
	if err := bus.ValidBucket(name); err != nil {
		return nil, err
	}
	if _, err := n.held(name); errors.Is(err, ErrNoBucket) {
		if err := n.mayCreate(name); err != nil {
			return nil, err
		}
	}
	l, err := n.join(name)
	if err != nil {
		return nil, err
	}
	return &Bucket{node: n, loop: l}, nil
}

// Buckets lists the buckets that this node holds, in order. The one in which
// nodes keep what concerns all of them is left out.
func (n *Node) Buckets() []string {
	return slices.DeleteFunc(n.store.Buckets(), func(name string) bool { return name == bus.Fleet })
}

// loop returns that of a bucket which users may have.
func (n *Node) loop(name string) (*loop, error) {
	if err := bus.ValidBucket(name); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoBucket, err) // and none can be made
	}
	return n.held(name)
}

func (n *Node) held(name string) (*loop, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	if l := n.loops[name]; l != nil {
		return l, nil
	}
	return nil, noBucket(name)
}

// join makes the store hold a bucket, follows its live subjects and tells the
// engine.
func (n *Node) join(name string) (*loop, error) { return n.joinAs(name, false) }

// joinAs is join, also of a bucket that was only heard of.
func (n *Node) joinAs(name string, heard bool) (*loop, error) {
	l, begun, err := n.hold(name, heard)
	if begun {
		n.feed(syncer.Joined{Bucket: name}) // without n.mu: the engine's loop takes it
	}
	return l, err
}

// hold reports whether it was this call that began to hold the bucket.
func (n *Node) hold(name string, heard bool) (l *loop, begun bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, false, ErrClosed
	}
	if l := n.loops[name]; l != nil {
		return l, false, nil
	}
	if heard && slices.Contains(n.store.Left(), name) {
		return nil, false, noBucket(name) // it was left meanwhile
	}
	b, err := n.store.Join(name)
	if err != nil {
		return nil, false, err
	}
	if err := n.bus.Join(name); err != nil {
		return nil, false, err
	}
	l = newLoop(n, b, name)
	l.settle(*n.settings.Load())
	n.loops[name] = l
	n.group.Go(l.runCommits)
	n.group.Go(l.runApplies)
	return l, true, nil
}

// Close ends the node cleanly: writes that wait are finished and published, a
// last heartbeat says that the node stops, and the store is synced and closed.
// The connection stays open. Closing again returns what the first one did.
//
// It does not wait until others have what only this node has: that they fetch while
// it is open, and again when it is opened the next time. Bucket.WaitHeld waits for
// that, Leave hands over for good.
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
		errs = append(errs, n.group.Wait(), n.closeAsker())
	}
	if n.bus != nil {
		errs = append(errs, n.bus.Close(), n.flush())
	}
	errs = append(errs, n.donor.CloseAll(), n.closeStore())
	return errors.Join(errs...)
}

// closeStore leaves a ticket for the next start. Without one that draws a new
// epoch, which costs a row in every clock and nothing else.
func (n *Node) closeStore() error {
	ticket, err := n.store.CloseWithTicket()
	if err != nil {
		return err
	}
	if err := n.ticket.put(ticket); err != nil {
		n.log.Warn("the next start will draw a new epoch", "error", err)
	}
	return nil
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
