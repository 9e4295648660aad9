package bareloop

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A Durability is when a put is answered and published.
type Durability string

const (
	// Sync answers and publishes after the fsync.
	Sync Durability = "sync"
	// Interval answers at once and publishes after the fsync; fsyncs run back to back.
	Interval Durability = "interval"
	// Early answers and publishes at once; fsyncs run back to back.
	Early Durability = "early"
)

const (
	groupOps     = 4096 // of a commit group
	applyBytes   = 1 << 20
	syncPause    = 25 * time.Millisecond // between fsyncs of what was merged
	pageBytes    = 512 << 10
	pageWindow   = 16  // pages on their way that are not acknowledged
	headerRoom   = 512 // of a message, kept free
	queuedGroups = 256 // answered and not synced yet
)

// takeBytes is how many bytes of pages are taken at once. Small tables would have to
// be merged again and again.
var takeBytes = map[Way]int{Ingest: 8 << 20, Merge: applyBytes, Blind: applyBytes}

// Config says what a Node is. All but Peers and Applied is required.
type Config struct {
	Options
	Dir        string
	Conn       *nats.Conn
	Subject    string // first tokens of all subjects
	Durability Durability
	Peers      []string                // the nodes whose writes are taken
	Applied    func(key, value []byte) // told of each row that was merged; it must not keep them
}

// A Node is a store with its loops. Its methods may be used by many goroutines.
type Node struct {
	*Store
	cfg    Config
	writes chan *request
	groups chan group // answered, to be synced
	stop   chan struct{}
	loops  sync.WaitGroup
	subs   []*nats.Subscription

	mu    sync.Mutex // guards queue and err
	queue [][]byte   // live messages to merge
	err   error      // the first one; the node does nothing more
	wake  chan struct{}
	dirty chan struct{} // something was merged and is not synced
}

// A request is one put that waits for its group.
type request struct {
	op   Op
	done chan error
}

// A group is what one commit wrote, with its message.
type group struct{ msg []byte }

// Start opens a store in cfg.Dir and starts its loops.
func Start(cfg Config) (*Node, error) {
	s, err := Open(cfg.Dir, cfg.Options)
	if err != nil {
		return nil, err
	}
	n := &Node{
		Store: s, cfg: cfg, writes: make(chan *request, groupOps), groups: make(chan group, queuedGroups),
		stop: make(chan struct{}), wake: make(chan struct{}, 1), dirty: make(chan struct{}, 1),
	}
	n.loops.Go(n.commits)
	n.loops.Go(n.follow)
	n.loops.Go(n.applies)
	n.loops.Go(n.syncs)
	for _, peer := range cfg.Peers {
		if err := n.subscribe(n.liveOf(peer), n.hear); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	if err := n.subscribe(n.cfg.Subject+".pull."+cfg.Node, n.serve); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) liveOf(node string) string { return n.cfg.Subject + ".live." + node }

// subscribe returns once the broker knows of it.
func (n *Node) subscribe(subject string, take nats.MsgHandler) error {
	sub, err := n.cfg.Conn.Subscribe(subject, take)
	if err != nil {
		return err
	}
	n.subs = append(n.subs, sub)
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	return n.cfg.Conn.FlushTimeout(10 * time.Second)
}

// Close ends the loops and closes the store. No put may be waiting.
func (n *Node) Close() error {
	for _, sub := range n.subs {
		_ = sub.Unsubscribe() // the connection may be gone
	}
	close(n.stop)
	n.loops.Wait()
	return errors.Join(n.Failed(), n.Store.Close())
}

// Failed returns the first error of a loop.
func (n *Node) Failed() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

func (n *Node) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err == nil && err != nil {
		n.err = fmt.Errorf("bare loop, node %s: %w", n.cfg.Node, err)
	}
}

var requests = sync.Pool{New: func() any { return &request{done: make(chan error, 1)} }}

// Put writes a value and returns when it is answered.
func (n *Node) Put(key, value []byte) error {
	r := requests.Get().(*request)
	r.op = Op{Key: key, Value: value}
	n.writes <- r
	err := <-r.done
	requests.Put(r)
	return err
}

// commits turns waiting puts into groups.
func (n *Node) commits() {
	defer close(n.groups)
	var waiting []*request
	var ops []Op
	for {
		select {
		case <-n.stop:
			return
		case first := <-n.writes:
			runtime.Gosched() // those about to queue join
			waiting, ops = n.gather(append(waiting[:0], first), ops[:0])
			err := n.write(waiting, ops)
			n.fail(err)
		}
	}
}

func (n *Node) gather(waiting []*request, ops []Op) ([]*request, []Op) {
	limit := int(n.cfg.Conn.MaxPayload())*9/10 - headerRoom
	size := 0
	for r := waiting[0]; ; waiting = append(waiting, r) {
		ops = append(ops, r.op)
		if size += len(r.op.Key) + len(r.op.Value) + 64; size >= limit || len(ops) == groupOps {
			return waiting, ops
		}
		select {
		case r = <-n.writes:
		default:
			return waiting, ops
		}
	}
}

// write commits a group, and answers and publishes it as its durability says.
func (n *Node) write(waiting []*request, ops []Op) error {
	msg, err := n.Write(time.Now(), ops, nil)
	if err == nil {
		switch n.cfg.Durability {
		case Sync:
			if err = n.Sync(); err == nil {
				answer(waiting, nil)
				return n.publish(msg)
			}
		case Early:
			answer(waiting, nil)
			err = n.publish(msg)
			n.groups <- group{}
			return err
		default:
			answer(waiting, nil)
			n.groups <- group{msg: msg}
			return nil
		}
	}
	answer(waiting, err)
	return err
}

func answer(waiting []*request, err error) {
	for _, r := range waiting {
		r.done <- err
	}
}

func (n *Node) publish(msg []byte) error {
	return n.cfg.Conn.Publish(n.liveOf(n.cfg.Node), msg)
}

// follow syncs what was answered before, one fsync after the other, and publishes
// what waits for that.
func (n *Node) follow() {
	for g := range n.groups {
		list := []group{g}
		for waiting := len(n.groups); waiting > 0; waiting-- {
			list = append(list, <-n.groups)
		}
		if err := n.Sync(); err != nil {
			n.fail(err)
			continue
		}
		for _, g := range list {
			if g.msg != nil {
				n.fail(n.publish(g.msg))
			}
		}
	}
}

func (n *Node) hear(m *nats.Msg) {
	n.mu.Lock()
	n.queue = append(n.queue, m.Data)
	n.mu.Unlock()
	poke(n.wake)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// applies merges the live messages that wait, up to applyBytes a batch.
func (n *Node) applies() {
	for {
		select {
		case <-n.stop:
			return
		case <-n.wake:
		}
		n.mu.Lock()
		list := n.queue
		n.queue = nil
		n.mu.Unlock()
		for len(list) > 0 {
			some, size := 0, 0
			for some < len(list) && (some == 0 || size+len(list[some]) <= applyBytes) {
				size += len(list[some])
				some++
			}
			n.fail(n.Apply(list[:some], n.cfg.Applied))
			list = list[some:]
		}
		poke(n.dirty)
	}
}

// syncs makes durable what was merged, at most once in syncPause.
func (n *Node) syncs() {
	tick := time.NewTicker(syncPause)
	defer tick.Stop()
	for {
		select {
		case <-n.stop:
			return
		case <-n.dirty:
			n.fail(n.Sync())
		}
		select {
		case <-n.stop:
			return
		case <-tick.C:
		}
	}
}

// serve streams all rows to who asks, as long as they are acknowledged.
func (n *Node) serve(m *nats.Msg) {
	n.loops.Go(func() { n.fail(n.donate(m.Reply, string(m.Data))) })
}

func (n *Node) donate(to, acks string) error {
	conn := n.cfg.Conn
	acked := make(chan struct{}, pageWindow)
	sub, err := conn.Subscribe(acks, func(*nats.Msg) { acked <- struct{}{} })
	if err != nil {
		return err
	}
	defer sub.Unsubscribe() //nolint:errcheck // it ends with the connection otherwise
	snap, err := n.Snapshot()
	if err != nil {
		return err
	}
	sent := 0
	err = snap.Stream(min(pageBytes, int(conn.MaxPayload())/2), func(msg []byte) error {
		if sent++; sent > pageWindow {
			select {
			case <-acked:
			case <-n.stop:
				return nil
			}
		}
		return conn.Publish(to, msg)
	})
	return errors.Join(err, snap.Close())
}

// Pull catches up with a donor, whose rows come in this way.
func (n *Node) Pull(ctx context.Context, donor string, way Way) error {
	conn := n.cfg.Conn
	inbox, acks := conn.NewInbox(), conn.NewInbox()
	sub, err := conn.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe() //nolint:errcheck // it ends with the connection otherwise
	if err := conn.PublishRequest(n.cfg.Subject+".pull."+donor, inbox, []byte(acks)); err != nil {
		return err
	}
	var pages [][]byte
	take := func() error {
		if len(pages) == 0 {
			return nil
		}
		err := n.page(pages)
		pages = pages[:0]
		return err
	}
	for size := 0; ; {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return err
		}
		switch m.Data[0] {
		case msgBegin:
			err = n.begun(way, m.Data)
		case msgPage:
			pages = append(pages, m.Data)
			size += len(m.Data)
			if size >= takeBytes[way] {
				err, size = take(), 0
			}
		case msgEnd:
			return errors.Join(take(), n.end())
		}
		if err == nil {
			err = conn.Publish(acks, nil)
		}
		if err != nil {
			return err
		}
	}
}
