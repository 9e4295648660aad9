package main

import (
	"errors"
	"fmt"
	"time"

	"replicator/api"
)

type collectCmd struct {
	scopeFlag
	yesFlag
	jsonFlag
	OlderThan time.Duration `required:"" placeholder:"30d" help:"Only deletes that are older."`
	Node      string        `env:"REPLICATOR_NODE" help:"Only on this node. Default: on all that answer."`
}

// Help implements kong.HelpProvider.
func (collectCmd) Help() string {
	return `Examples:

    replicator collect --older-than 30d
    replicator collect --older-than 168h -b orders --yes

Deletes are remembered until every member knows of them; this forgets them without waiting. Copies stay equal all the same: a node that missed some compares all its rows when it is back. But a key that it wrote while it was away may come back. If a node holds deletes up for good, prefer: replicator forget`
}

// Run has nodes drop old tombstones.
func (c *collectCmd) Run(a *app) error {
	bucket, err := c.bucket()
	if err != nil {
		return err
	}
	if c.OlderThan < 0 {
		return usage(fmt.Errorf("--older-than %v is negative", c.OlderThan))
	}
	question := fmt.Sprintf("Deletes older than %v are forgotten, whoever may not know of them.", c.OlderThan)
	if err := a.confirm(question, c.yesFlag); err != nil {
		return err
	}
	client, done, err := a.client(c.Node)
	if err != nil {
		return err
	}
	defer done()
	names, err := client.NamesOf(a.ctx, c.Node)
	if err != nil {
		return err
	}
	for _, node := range names {
		res, err := client.Collect(a.ctx, node, bucket, c.OlderThan)
		if c.Node == "" && errors.Is(err, api.ErrNoBucket) {
			continue
		}
		if err == nil {
			err = c.print(a, &res)
		}
		if err != nil {
			return fmt.Errorf("node %s: %w", node, err)
		}
	}
	return nil
}

func (c *collectCmd) print(a *app, res *api.CollectResult) error {
	if c.JSON {
		return a.printJSON(res)
	}
	for _, b := range res.Buckets {
		if err := a.printf("node %s, bucket %s: %d rows\n", res.Node, b.Bucket, b.Rows); err != nil {
			return err
		}
	}
	return nil
}
