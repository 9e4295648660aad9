package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"replicator/api"
)

type verifyCmd struct {
	scopeFlag
	jsonFlag
	Node string `env:"REPLICATOR_NODE" help:"A node that has to be among those that answer."`
}

// Help implements kong.HelpProvider.
func (verifyCmd) Help() string {
	return `Examples:

    replicator verify
    replicator verify -b orders --json

Every node that answers tells the clock and the hash of its copy. Equal: all copies are the same (exit code 0). Behind: something still has to travel (4). Divergent: copies that claim to have the same writes differ (5), which never happens unless a disk or a program is broken.`
}

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
	v, err := askBucket(a.ctx, client, bucket, a.flags.Prefix)
	if err != nil {
		return err
	}
	if c.Node != "" && !slices.Contains(v.Nodes, c.Node) {
		return &api.NoNodeError{Node: c.Node, Prefix: a.flags.Prefix}
	}
	if err := c.print(a, v); err != nil {
		return err
	}
	if code := v.State.exitCode(); code != exitDone {
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
	if bucket != "" && len(v.Buckets) == 0 {
		return v, api.ErrNoBucket.With("no node that answers holds bucket %s", bucket)
	}
	return v, nil
}

// askAll asks every node that answers for its digests.
func askAll(ctx context.Context, client *api.Client, bucket, prefix string) ([]api.NodeDigests, error) {
	nodes, err := client.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	if len(nodes) == 0 {
		return nil, &api.NoNodeError{Prefix: prefix}
	}
	var all []api.NodeDigests
	for i, n := range nodes {
		if i > 0 && nodes[i-1].Node == n.Node {
			return nil, fmt.Errorf("two nodes are called %s; rename one of them", n.Node)
		}
		d, err := client.Verify(ctx, n.Node, bucket)
		if errors.Is(err, api.ErrNoBucket) {
			d, err = api.NodeDigests{Node: n.Node}, nil
			if st, e := client.StatusOf(ctx, n.Node); e == nil {
				d.Joins = st.Joins
			}
		}
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", n.Node, err)
		}
		all = append(all, d)
	}
	return all, nil
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
	for _, bucket := range v.Buckets {
		fmt.Fprintf(&b, "bucket %s: %s\n", bucket.Name, bucket.State)
		for _, n := range bucket.Nodes {
			fmt.Fprintf(&b, "  %s\n", n)
		}
	}
	return a.printf("%s", b.String())
}
