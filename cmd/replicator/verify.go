package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"replicator/api"
)

type verifyCmd struct {
	scopeFlag
	jsonFlag
	Node   string `env:"REPLICATOR_NODE" help:"A node that has to be among those that answer."`
	Deep   bool   `help:"Have every node read all its rows and compare each with its hash first."`
	Repair bool   `help:"Do so, and have nodes fetch from each other what is bad or diverges. Waits for that up to --timeout (1m)."`
}

// Help implements kong.HelpProvider.
func (verifyCmd) Help() string {
	return `Examples:

    replicator verify
    replicator verify -b orders --json
    replicator verify --deep
    replicator verify --repair

Every node that answers tells the clock and the hash of its copy. Equal: all copies are the same (exit code 0). Behind: something still has to travel (4). A member that does not answer is named, and equality is not proven then (4 as well): start it, or, if it does not come back, replicator forget it. Divergent: copies that have taken the same writes differ, or rows are not what was written (5), which never happens unless a disk or a program is broken; the keys are named. Nodes find and repair that by themselves, at the latest when they read all rows in the background.`
}

const (
	repairTimeout = time.Minute
	pollPause     = 200 * time.Millisecond
)

// Run asks every node and ends with the code of what it found.
func (c *verifyCmd) Run(a *app) error {
	bucket, err := c.bucket()
	if err != nil {
		return err
	}
	if c.Node != "" {
		if err := checkNode(c.Node); err != nil {
			return err
		}
	}
	client, done, err := a.client("")
	if err != nil {
		return err
	}
	defer done()
	v, err := c.look(a, client, bucket)
	if err != nil {
		return err
	}
	if err := c.print(a, v); err != nil {
		return err
	}
	if code := v.exitCode(); code != exitDone {
		return &exitError{Code: code}
	}
	return nil
}

// askBucket compares the copies of a bucket, or of all where it is empty, and
// wants the bucket to be there.
func askBucket(ctx context.Context, client *api.Client, bucket, prefix string) (verdict, error) {
	all, err := askAll(ctx, client, bucket, prefix)
	if err != nil {
		return verdict{}, err
	}
	v := compare(all)
	return v, wantBucket(&v, bucket)
}

func wantBucket(v *verdict, bucket string) error {
	if bucket != "" && len(v.Buckets) == 0 {
		return api.ErrNoBucket.With("no node that answers holds bucket %s", bucket)
	}
	return nil
}

func (c *verifyCmd) look(a *app, client *api.Client, bucket string) (verdict, error) {
	all, err := askAll(a.ctx, client, bucket, a.flags.Prefix)
	if err != nil {
		return verdict{}, err
	}
	if c.Node != "" && !slices.ContainsFunc(all, func(d api.NodeDigests) bool { return d.Node == c.Node }) {
		return verdict{}, &api.NoNodeError{Node: c.Node, Prefix: a.flags.Prefix}
	}
	v := compare(all)
	if err := wantBucket(&v, bucket); err != nil {
		return v, err
	}
	if c.Deep || c.Repair {
		if all, err = c.readAll(a, client, bucket, all); err != nil {
			return v, err
		}
		v = compare(all)
	}
	for i := range v.Buckets {
		if err := nameKeys(a.ctx, client, &v.Buckets[i]); err != nil {
			return v, err
		}
	}
	known, err := statusOfAll(a.ctx, client, v.Nodes)
	v.silence(known, bucket)
	return v, err
}

func statusOfAll(ctx context.Context, client *api.Client, nodes []string) ([]api.Status, error) {
	return eachNode(nodes, func(node string) (api.Status, error) { return client.StatusOf(ctx, node) })
}

// readAll has every node read its rows, and waits until all have. With --repair
// it also waits for the copies to be equal, as long as that may take.
func (c *verifyCmd) readAll(a *app, client *api.Client, bucket string, all []api.NodeDigests) ([]api.NodeDigests, error) {
	asked, err := eachNode(all, func(d api.NodeDigests) (api.NodeDigests, error) {
		if len(d.Buckets) == 0 {
			return d, nil
		}
		return client.Verify(a.ctx, d.Node, bucket, api.VerifyOptions{Deep: true, Repair: c.Repair})
	})
	if err != nil {
		return nil, err
	}
	limit := a.flags.Timeout
	if limit == 0 {
		limit = repairTimeout
	}
	var until time.Time
	for {
		select {
		case <-time.After(pollPause):
		case <-a.ctx.Done():
			return nil, a.ctx.Err()
		}
		if all, err = askAll(a.ctx, client, bucket, a.flags.Prefix); err != nil {
			return nil, err
		}
		if reading(asked, all) {
			continue
		}
		if until.IsZero() {
			until = time.Now().Add(limit)
		}
		if !c.Repair || compare(all).State == equal || time.Now().After(until) {
			return all, nil
		}
	}
}

// reading reports whether some node has not yet read all rows since it was asked
// to.
func reading(asked, now []api.NodeDigests) bool {
	begun := map[string]uint64{}
	for _, d := range asked {
		for _, b := range d.Buckets {
			begun[d.Node+"/"+b.Bucket] = b.Scrub.Begun
		}
	}
	for _, d := range now {
		for _, b := range d.Buckets {
			before, was := begun[d.Node+"/"+b.Bucket]
			restarted := b.Scrub.Begun < before // whoever it is now was not asked
			if was && !restarted && b.Scrub.Ended <= before {
				return true
			}
		}
	}
	return false
}

// askAll asks every node that answers for its digests, all at once.
func askAll(ctx context.Context, client *api.Client, bucket, prefix string) ([]api.NodeDigests, error) {
	nodes, err := client.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	if len(nodes) == 0 {
		return nil, &api.NoNodeError{Prefix: prefix}
	}
	for i, n := range nodes {
		if i > 0 && nodes[i-1].Node == n.Node {
			return nil, fmt.Errorf("two nodes are called %s; rename one of them", n.Node)
		}
	}
	return eachNode(nodes, func(n api.NodeInfo) (api.NodeDigests, error) {
		d, err := client.Verify(ctx, n.Node, bucket, api.VerifyOptions{})
		if errors.Is(err, api.ErrNoBucket) {
			d, err = api.NodeDigests{Node: n.Node}, nil
			if st, e := client.StatusOf(ctx, n.Node); e == nil {
				d.Joins, d.Left = st.Joins, st.Left
			}
		}
		if err != nil {
			return d, fmt.Errorf("node %s: %w", n.Node, err)
		}
		return d, nil
	})
}

// eachNode asks all at once and returns the answers in order, or all errors.
func eachNode[N, A any](nodes []N, ask func(N) (A, error)) ([]A, error) {
	all, errs := make([]A, len(nodes)), make([]error, len(nodes))
	var group sync.WaitGroup
	for i, n := range nodes {
		group.Go(func() { all[i], errs[i] = ask(n) })
	}
	group.Wait()
	return all, errors.Join(errs...)
}

func (c *verifyCmd) print(a *app, v verdict) error {
	if c.JSON {
		return a.printJSON(v)
	}
	var b strings.Builder
	alone := ""
	if len(v.Nodes) == 1 {
		alone = ", no other node answers"
	}
	fmt.Fprintf(&b, "%s: %s%s\n", strings.Join(v.Nodes, ", "), v.State, alone)
	for _, n := range v.Silent {
		fmt.Fprintf(&b, "%s does not answer (%s, heard %s): nothing is known of its copy\n", n.Node, n.State, ago(n.LastHeard, time.Now()))
	}
	for i := range v.Buckets {
		bucket := &v.Buckets[i]
		fmt.Fprintf(&b, "bucket %s: %s\n  %s\n", bucket.Name, bucket.State, bucket.summary())
		for _, n := range bucket.Nodes {
			fmt.Fprintf(&b, "  %s\n", n)
			if c.Deep || c.Repair {
				fmt.Fprintf(&b, "    %s\n", n.scrubbed())
			}
		}
		for _, k := range bucket.Keys[:min(len(bucket.Keys), printedKeys)] {
			fmt.Fprintf(&b, "  key %s\n", k)
		}
		if more := len(bucket.Keys) - printedKeys; more > 0 || bucket.More {
			fmt.Fprintf(&b, "  and more keys: --json lists up to %d\n", maxKeys)
		}
	}
	return a.printf("%s", b.String())
}
