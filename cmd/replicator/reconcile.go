package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"replicator/api"
)

type reconcileCmd struct {
	scopeFlag
	yesFlag
	jsonFlag
	Node   string `env:"REPLICATOR_NODE" help:"Only on this node. Default: on all that answer."`
	Accept bool   `help:"Let the rows go. Wants --bucket."`
}

// Help implements kong.HelpProvider.
func (reconcileCmd) Help() string {
	return `Examples:

    replicator reconcile
    replicator reconcile --accept -b orders
    replicator reconcile --accept -b orders --node c --yes

A node that missed deletes which the others have forgotten compares all its rows with another's, and removes what that one has deleted. If those are more than 1000, and more than a tenth of its rows or 10000, the other's disk may as well have lost them: the node waits for a second one that says the same, and takes no writes of others in that bucket until then. This lists what waits; --accept lets it go on, where no second node will come. Removed values are kept for seven days, 10000 of a bucket: replicator conflicts. To have the rows compared anew, after the other node was put right, restart the one that waits.

A replica that has forgotten deletes may get what it can neither take nor leave out. It empties the bucket and fills it again once a master is known to have all that it holds. Where a disk was lost none may ever be: then that is listed, too, and --accept empties the bucket. What only the replica holds is gone for good then: replicator verify first.`
}

// A waiting is a reconcile that waits on a node.
type waiting struct {
	Node   string `json:"node"`
	Bucket string `json:"bucket"`
	api.Doubt
}

func (w *waiting) String() string {
	if w.Empties {
		return fmt.Sprintf("replica %s, bucket %s: all of its %d rows would go, and be fetched again; no master is known to have them all",
			w.Node, w.Bucket, w.Rows)
	}
	return fmt.Sprintf("node %s, bucket %s: %d of %d rows would go, which %s has no more",
		w.Node, w.Bucket, w.Removes, w.Rows, strings.Join(w.Nodes, " or "))
}

// Run lists the reconciles that wait, or lets those of a bucket go on.
func (c *reconcileCmd) Run(a *app) error {
	if c.Accept && c.Bucket == nil {
		return usage(errors.New("--accept wants --bucket"))
	}
	client, done, err := a.client(c.Node)
	if err != nil {
		return err
	}
	defer done()
	list, err := c.waiting(a.ctx, client)
	if err != nil {
		return err
	}
	if !c.Accept {
		return c.print(a, list)
	}
	return c.accept(a, client, list)
}

// waiting asks the nodes which reconciles wait there.
func (c *reconcileCmd) waiting(ctx context.Context, client *api.Client) ([]waiting, error) {
	names, err := client.NamesOf(ctx, c.Node)
	if err != nil {
		return nil, err
	}
	list := []waiting{}
	for _, node := range names {
		st, err := client.StatusOf(ctx, node)
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", node, err)
		}
		buckets := st.Buckets
		if st.Fleet != nil {
			buckets = append(buckets, *st.Fleet)
		}
		for i := range buckets {
			b := &buckets[i]
			if b.Doubt != nil && (c.Bucket == nil || *c.Bucket == b.Name) {
				list = append(list, waiting{Node: st.Node, Bucket: b.Name, Doubt: *b.Doubt})
			}
		}
	}
	return list, nil
}

func (c *reconcileCmd) print(a *app, list []waiting) error {
	if c.JSON {
		return a.printJSON(struct {
			Waiting []waiting `json:"waiting"`
		}{list})
	}
	if len(list) == 0 {
		return a.printf("no reconcile waits\n")
	}
	for i := range list {
		if err := a.printf("%s\n", &list[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *reconcileCmd) accept(a *app, client *api.Client, list []waiting) error {
	if len(list) == 0 {
		return api.ErrNoDoubt.With("no reconcile of bucket %s waits", *c.Bucket)
	}
	for i := range list {
		w := &list[i]
		if err := a.confirm(w.String()+".", c.yesFlag); err != nil {
			return err
		}
		res, err := client.AcceptReconcile(a.ctx, w.Node, w.Bucket, w.Doubt)
		if err != nil {
			return fmt.Errorf("node %s: %w", w.Node, err)
		}
		if c.JSON {
			err = a.printJSON(&res)
		} else {
			err = a.printf("node %s, bucket %s: %d of %d rows go\n", res.Node, res.Bucket, res.Removes, res.Rows)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
