package main

import (
	"fmt"

	"replicator/api"
)

type watchCmd struct {
	bucketFlag
	nodeFlag
	keyFlag
	jsonFlag
	afterFlag
	Prefix string `name:"prefix-arg" arg:"" optional:"" help:"Only keys that begin so."`
}

// Help implements kong.HelpProvider.
func (watchCmd) Help() string {
	return `Examples:

    replicator watch
    replicator watch fruit/ --json

Each change that takes effect at the node is one line, from now on, until you interrupt it: when, who wrote it, put or del, key, value.`
}

// Run prints changes until it is interrupted.
func (c *watchCmd) Run(a *app) error {
	prefix, err := c.bytes(c.Prefix)
	if err != nil {
		return err
	}
	ctx, err := c.context(a.ctx)
	if err != nil {
		return err
	}
	client, done, err := a.bucketClient(c.Bucket, c.Node)
	if err != nil {
		return err
	}
	defer done()
	for r, err := range client.Watch(ctx, c.Bucket, prefix, api.WatchOptions{}) {
		if err != nil {
			return fmt.Errorf("watch ended: %w", err)
		}
		if err := c.print(a, &r); err != nil {
			return err
		}
	}
	return nil
}

func (c *watchCmd) print(a *app, r *api.Record) error {
	if c.JSON {
		return a.printRecord(r)
	}
	return a.printf("%s\n", recordLine(r, c.show(r.Key)))
}

// recordLine is one write on one line, for people.
func recordLine(r *api.Record, key string) string {
	if r.Deleted {
		return fmt.Sprintf("%s %s:%d del %s", r.Timestamp(), r.Stamp.Origin, r.Stamp.Seq, key)
	}
	return fmt.Sprintf("%s %s:%d put %s = %s", r.Timestamp(), r.Stamp.Origin, r.Stamp.Seq, key, showValue(r.Value))
}

const shownValue = 200

// showValue shows a value as far as a line holds it.
func showValue(value []byte) string {
	if len(value) > shownValue {
		return fmt.Sprintf("%s... (%d bytes)", quoteUnreadable(cut(value)), len(value))
	}
	return quoteUnreadable(value)
}

// cut shortens text between two characters.
func cut(value []byte) []byte {
	end := shownValue
	for end > shownValue-4 && value[end]&0xc0 == 0x80 {
		end--
	}
	return value[:end]
}
