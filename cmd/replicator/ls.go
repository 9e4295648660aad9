package main

import (
	"bufio"
	"errors"
	"fmt"

	"replicator/api"
)

type lsCmd struct {
	bucketFlag
	nodeFlag
	keyFlag
	jsonFlag
	afterFlag
	Prefix  string  `name:"prefix-arg" arg:"" optional:"" help:"Only keys that begin so."`
	Start   *string `help:"Only keys from this one on."`
	End     *string `help:"Only keys before this one."`
	Behind  *string `help:"Only keys behind this one, in the direction of the list: go on where one stopped."`
	Limit   int     `short:"n" help:"At most so many keys. Default: all."`
	Reverse bool    `help:"From the last key to the first."`
	Values  bool    `help:"With --json: with values and stamps."`
}

// Help implements kong.HelpProvider.
func (lsCmd) Help() string {
	return `Examples:

    replicator ls
    replicator ls fruit/ -b orders
    replicator ls --start 2026-01 --end 2026-02 --reverse -n 10
    replicator ls --json

Keys come in order, one a line. A key that would not be one readable line is quoted; --key-b64 and --json show every key exactly.`
}

// Run prints the keys, page by page.
func (c *lsCmd) Run(a *app) error {
	o, err := c.options()
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
	out := bufio.NewWriterSize(a.out, 64<<10)
	for r, err := range client.List(ctx, c.Bucket, o) {
		if err != nil {
			_ = out.Flush() // what was read stays readable
			return err
		}
		line := append([]byte(c.show(r.Key)), '\n')
		if c.JSON {
			r.Node = ""
			line = append(r.AppendJSON(nil), '\n')
		}
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
	return out.Flush()
}

func (c *lsCmd) options() (api.ListOptions, error) {
	o := api.ListOptions{Limit: c.Limit, Reverse: c.Reverse, Values: c.Values, Full: c.Values}
	switch {
	case c.Limit < 0:
		return o, usage(fmt.Errorf("--limit %d: want a number above 0", c.Limit))
	case c.Values && !c.JSON:
		return o, usage(errors.New("--values goes with --json: a value may be any bytes"))
	}
	for _, bound := range []struct {
		text *string
		into *[]byte
	}{{&c.Prefix, &o.Prefix}, {c.Start, &o.Start}, {c.End, &o.End}, {c.Behind, &o.After}} {
		if bound.text == nil {
			continue
		}
		var err error
		if *bound.into, err = c.bytes(*bound.text); err != nil {
			return o, err
		}
	}
	return o, nil
}
