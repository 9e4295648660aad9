package main

import (
	"errors"
	"fmt"

	"replicator/api"
)

type watchCmd struct {
	bucketFlag
	nodeFlag
	keyFlag
	jsonFlag
	afterFlag
	Prefix    string `name:"prefix-arg" arg:"" optional:"" help:"Only keys that begin so."`
	FromStart bool   `xor:"from" help:"First the rows there are."`
	Resume    string `xor:"from" placeholder:"TOKEN" help:"First what has come since the mark, of this node or of another."`
	Marks     bool   `help:"Print marks, at most one a second: their tokens are for --resume."`
	NoDeletes bool   `help:"Leave deletes out."`
	KeysOnly  bool   `help:"Leave values out."`
}

// Help implements kong.HelpProvider.
func (watchCmd) Help() string {
	return `Examples:

    replicator watch
    replicator watch fruit/ --json
    replicator watch --from-start --marks --json

Each change that takes effect at the node is one line, from now on, until you interrupt it: when, who wrote it, put or del, key, value. With --from-start or --resume a mark tells when all that was there before has been told. Who reads too slowly gets of each key the newest row alone.`
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
	q := api.WatchQuery{FromStart: c.FromStart, Resume: c.Resume, Marks: c.Marks, PutsOnly: c.NoDeletes, MetaOnly: c.KeysOnly}
	var failed error
	marked := func(m api.WatchMark) { failed = errors.Join(failed, c.printMark(a, m)) }
	for r, err := range client.Watch(ctx, c.Bucket, prefix, api.WatchOptions{Query: q, Marked: marked}) {
		if err != nil {
			return fmt.Errorf("watch ended: %w", err)
		}
		if err := errors.Join(failed, c.print(a, &r)); err != nil {
			return err
		}
	}
	return failed
}

func (c *watchCmd) printMark(a *app, m api.WatchMark) error {
	if c.JSON {
		return a.printJSON(map[string]api.WatchMark{"mark": m})
	}
	if m.CaughtUp {
		return a.printf("mark %s caught up\n", m.Token)
	}
	return a.printf("mark %s\n", m.Token)
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
	put := fmt.Sprintf("%s %s:%d put %s", r.Timestamp(), r.Stamp.Origin, r.Stamp.Seq, key)
	if r.Bare {
		return put
	}
	return put + " = " + showValue(r.Value)
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
