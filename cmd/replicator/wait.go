package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"replicator/api"
)

const (
	waitTimeout = time.Minute
	waitPause   = 200 * time.Millisecond
	// peerAge is how long a peer may be silent and still be waited for. Nodes
	// say something at least every minute.
	peerAge = 2 * time.Minute
)

type waitCmd struct {
	scopeFlag
	nodeFlag
	jsonFlag
	InSync bool `help:"Until every copy is the same."`
	Ready  bool `help:"Until a node is ready."`
	Nodes  int  `placeholder:"N" help:"Until at least so many nodes answer."`
}

// Help implements kong.HelpProvider.
func (waitCmd) Help() string {
	return `Examples:

    replicator wait --ready --node b
    replicator wait --in-sync --nodes 2 --timeout 30s

In sync: all nodes that answer have equal copies, and the node knows of no peer heard in the last two minutes that is behind. A server that is not there yet is waited for, too. Not in --timeout, by default a minute: exit code 4.`
}

// Run waits, and says what is missing if that takes too long.
func (c *waitCmd) Run(a *app) error {
	if !c.InSync && !c.Ready && c.Nodes == 0 {
		return usage(errors.New("say what to wait for: --in-sync, --ready or --nodes N"))
	}
	if c.Nodes < 0 {
		return usage(fmt.Errorf("--nodes %d: want 1 or more", c.Nodes))
	}
	bucket, err := c.bucket()
	if err != nil {
		return err
	}
	limit := cmp.Or(a.flags.Timeout, waitTimeout)
	ctx, cancel := context.WithTimeout(a.ctx, limit)
	defer cancel()
	missing := c.poll(ctx, a, bucket)
	if a.ctx.Err() != nil {
		return context.Cause(a.ctx)
	}
	if missing != nil {
		return &exitError{Code: exitBehind, Err: fmt.Errorf("not within %v: %s", limit, plainLine(explain(missing, a.flags)))}
	}
	if c.JSON {
		return a.printJSON(map[string]bool{"done": true})
	}
	if c.InSync {
		return a.printf("in sync\n")
	}
	return a.printf("ready\n")
}

// poll looks until nothing is missing, and returns what was when ctx ended.
func (c *waitCmd) poll(ctx context.Context, a *app, bucket string) error {
	var client *api.Client
	done := func() {}
	defer func() { done() }()
	tick := time.NewTicker(waitPause)
	defer tick.Stop()
	var missing error
	for {
		now := error(nil)
		if client == nil {
			client, done, now = a.tryClient(c.Node)
		}
		if now == nil {
			now = c.look(ctx, client, bucket, a.flags.Prefix)
		}
		if now == nil {
			return nil
		}
		if missing == nil || ctx.Err() == nil { // else it tells no more than that time is up
			missing = now
		}
		select {
		case <-ctx.Done():
			return missing
		case <-tick.C:
		}
	}
}

// tryClient is client for who tries again: what ends it can always be called.
func (a *app) tryClient(node string) (*api.Client, func(), error) {
	client, done, err := a.client(node)
	if err != nil {
		return nil, func() {}, err
	}
	return client, done, nil
}

func (c *waitCmd) look(ctx context.Context, client *api.Client, bucket, prefix string) error {
	st, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if !st.Ready {
		return fmt.Errorf("node %s is not ready", st.Node)
	}
	if c.Nodes > 0 {
		nodes, err := client.Nodes(ctx)
		if err != nil {
			return err
		}
		if len(nodes) < c.Nodes {
			return fmt.Errorf("nodes that answer: %d, not %d", len(nodes), c.Nodes)
		}
	}
	if !c.InSync {
		return nil
	}
	if err := unsynced(st, bucket, time.Now()); err != nil {
		return err
	}
	v, err := askBucket(ctx, client, bucket, prefix)
	if err != nil {
		return err
	}
	if v.State != equal {
		return fmt.Errorf("the copies are %s", v.State)
	}
	return nil
}

// unsynced says which copy the node knows to be behind, its own included.
func unsynced(st api.Status, bucket string, now time.Time) error {
	for i := range st.Buckets {
		b := &st.Buckets[i]
		if bucket != "" && b.Name != bucket {
			continue
		}
		if b.CatchingUp || b.Pull != nil {
			return fmt.Errorf("node %s is catching up with bucket %s", st.Node, b.Name)
		}
		for _, p := range b.Peers {
			if !p.InSync && now.Sub(p.LastSeen) < peerAge && !stopping(st, p.Node) && !retired(st, p.Node) {
				return fmt.Errorf("node %s and node %s are not in sync in bucket %s", st.Node, p.Node, b.Name)
			}
		}
	}
	return nil
}

// retired reports whether the node has left or was forgotten: what it may lack is
// nobody's concern.
func retired(st api.Status, node string) bool {
	for i := range st.Members {
		if m := &st.Members[i]; m.Node == node {
			return !m.RetiredAt.IsZero()
		}
	}
	return false
}

func stopping(st api.Status, node string) bool {
	for _, p := range st.Peers {
		if p.Node == node {
			return p.Stopping
		}
	}
	return false
}
