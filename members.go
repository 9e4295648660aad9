package replicator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"replicator/bus"
	"replicator/carry"
	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
)

// ErrNoMember reports a node that nobody knows, or one to be readmitted that was
// not retired.
var ErrNoMember = errors.New("replicator: no such member")

// A RetiredError refuses writes on a node that has left or was forgotten.
type RetiredError struct{ Reason string }

func (e *RetiredError) Error() string { return "replicator: writes are refused: " + e.Reason }

// A MemberLiveError refuses to forget a node that runs.
type MemberLiveError struct {
	Node  string
	Heard time.Time
}

func (e *MemberLiveError) Error() string {
	return fmt.Sprintf("replicator: node %s is running, it was heard %s ago", e.Node, time.Since(e.Heard).Round(time.Second))
}

// A NotHandedOverError says what keeps a node from leaving: by bucket, the live
// nodes that may lack some of it; none where no live master holds the bucket.
type NotHandedOverError struct {
	Lacking map[string][]string
	Unheld  []string // buckets on its disk that it does not replicate
	Cause   error    // of the context that ended
}

func (e *NotHandedOverError) Error() string {
	var list []string
	for _, bucket := range e.Unheld {
		list = append(list, "bucket "+bucket+" is on the disk and is not replicated; start the node with --bucket "+bucket)
	}
	for _, bucket := range sortedKeys(e.Lacking) {
		if nodes := e.Lacking[bucket]; len(nodes) > 0 {
			list = append(list, strings.Join(nodes, ", ")+" may lack something of bucket "+bucket)
		} else {
			list = append(list, "no live master is known to hold bucket "+bucket)
		}
	}
	return "replicator: not handed over: " + strings.Join(list, "; ")
}

func (e *NotHandedOverError) Unwrap() error { return e.Cause }

// refusal returns why the node takes no writes of its own, nil if it does.
func (n *Node) refusal() error {
	if n.cfg.Replica {
		return ErrReplica
	}
	if reason := n.fence.Load(); reason != nil {
		return &FencedError{Reason: *reason}
	}
	if reason := n.retired.Load(); reason != nil {
		return &RetiredError{Reason: *reason}
	}
	return nil
}

// forgotten reports whether a node was forgotten, and its origins are closed.
func (n *Node) forgotten(node string) bool {
	return (*n.roster.Load())[node].State == syncer.MemberForgotten
}

// takeRoster reads who has left or was forgotten. It reports false, and changes
// nothing, if the store cannot tell.
func (n *Node) takeRoster() (map[string]syncer.Retired, bool) {
	n.heeding.Lock()
	defer n.heeding.Unlock()
	roster, err := carry.Retired(n.store)
	if err != nil {
		n.log.Warn("not all is known of members that left or were forgotten", "error", err)
	}
	if roster == nil {
		return nil, false
	}
	n.roster.Store(&roster)
	n.retired.Store(n.retirement(roster))
	return roster, true
}

// retirement says why this node itself is retired, nil if it is not.
func (n *Node) retirement(roster map[string]syncer.Retired) *string {
	name := n.self.Node
	reason := ""
	switch r, gone := roster[name]; {
	case gone && r.State == syncer.MemberLeft:
		reason = fmt.Sprintf("node %s has left the fleet at %s", name, r.At.Format(time.RFC3339))
	case gone:
		reason = fmt.Sprintf("node %s was forgotten, as node %s was told at %s", name, r.By, r.At.Format(time.RFC3339))
	case n.leaving.Load():
		reason = fmt.Sprintf("node %s is leaving the fleet", name)
	default:
		return nil
	}
	return &reason
}

// heedFleet follows rows in the fleet's bucket that may be new.
func (n *Node) heedFleet() {
	n.telling.Lock() // the engine keeps the last roster that it is given
	defer n.telling.Unlock()
	if roster, ok := n.takeRoster(); ok {
		n.feed(syncer.Retirements{Nodes: roster})
	}
	if finals := n.readFinals(); finals != nil {
		n.feed(syncer.Finals{Clocks: finals})
	}
	n.heedSettings()
}

// readFinals reads which origins are written no more; nil if the store cannot tell.
func (n *Node) readFinals() map[string]oplog.Clock {
	finals, err := carry.Finals(n.store)
	if err != nil {
		n.log.Warn("not all is known of origins that have ended", "error", err)
	}
	return finals
}

// tellFinals puts ended origins on the fleet's list. Should that fail, clocks travel
// with their rows, and the engine asks again.
func (n *Node) tellFinals(a syncer.TellFinals) {
	ops, err := carry.TellFinals(a)
	if err == nil {
		_, err = n.tellFleet(n.ctx, ops...)
	}
	if err != nil {
		n.log.Debug("ended origins not told", "bucket", a.Bucket, "error", err)
	}
}

// tellFleet makes writes to the fleet's bucket, as durable as any. It returns the
// first.
func (n *Node) tellFleet(ctx context.Context, ops ...store.Op) (Entry, error) {
	l, err := n.held(bus.Fleet)
	if err != nil {
		return Entry{}, err
	}
	if reason := n.fence.Load(); reason != nil {
		return Entry{}, &FencedError{Reason: *reason}
	}
	entries, err := l.submit(ctx, ops)
	if err != nil {
		return Entry{}, err
	}
	n.heedFleet()
	return entries[0], nil
}

// Forget retires another node on every node, now or once they hear of it: it is
// not expected back. Nothing waits for it any more, and what is missing of its
// writes, lost with its disk, does not count as missing. No clock moves: should
// it return, nothing it has is lost, but it takes no writes until Readmit.
//
// A *MemberLiveError refuses that for a node that was heard lately, unless force
// is set; ErrNoMember reports one that nobody knows.
func (n *Node) Forget(ctx context.Context, node string, force bool) error {
	if err := bus.ValidNode(node); err != nil {
		return err
	}
	if node == n.self.Node {
		return fmt.Errorf("replicator: node %s cannot forget itself: have it leave", node)
	}
	var members []syncer.MemberStatus
	n.ask(func() { members = n.engine.Members() })
	i := slices.IndexFunc(members, func(m syncer.MemberStatus) bool { return m.Node == node })
	switch {
	case i < 0 && !n.hasOrigin(node):
		return fmt.Errorf("%w: %s", ErrNoMember, node)
	case i >= 0 && members[i].State == syncer.MemberLive && !force:
		return &MemberLiveError{Node: node, Heard: members[i].Heard}
	}
	op, err := carry.Retire(node, syncer.Retired{State: syncer.MemberForgotten, By: n.self.Node, At: time.Now()})
	if err == nil {
		_, err = n.tellFleet(ctx, op)
	}
	return err
}

// hasOrigin reports whether the node has written to a bucket that is held here.
func (n *Node) hasOrigin(node string) bool {
	for _, name := range n.store.Buckets() {
		b, ok := n.store.Bucket(name)
		if !ok {
			continue
		}
		for _, clock := range []oplog.Clock{b.Clock(), b.Ahead()} {
			for o := range maps.Keys(clock) {
				if o.Node == node {
					return true
				}
			}
		}
	}
	return false
}

// Readmit makes a node that left or was forgotten a member again: it counts, and
// takes writes. ErrNoMember if it was not retired.
func (n *Node) Readmit(ctx context.Context, node string) error {
	if err := bus.ValidNode(node); err != nil {
		return err
	}
	e, err := n.tellFleet(ctx, carry.Readmit(node))
	if err == nil && e.Stamp.IsZero() {
		return fmt.Errorf("%w: %s has neither left nor was it forgotten", ErrNoMember, node)
	}
	return err
}

// Collect drops the tombstones and expired rows of a bucket that are older than
// age, whoever may not have them, and returns how many went. All nodes converge
// all the same: one that missed a delete compares its rows when it returns. The
// price is that a key which a node wrote while it was away may come back.
func (n *Node) Collect(ctx context.Context, bucket string, age time.Duration) (int, error) {
	if age < 0 {
		return 0, fmt.Errorf("replicator: collect: an age of %v", age)
	}
	if _, err := n.loop(bucket); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	gone, err := carry.CollectOlder(n.store, time.Now(), bucket, age)
	if gone > 0 {
		n.log.InfoContext(ctx, "tombstones collected by force", "bucket", bucket, "rows", gone, "older_than", age)
		n.touch(bucket)
	}
	return gone, err
}
