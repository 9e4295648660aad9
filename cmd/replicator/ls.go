package main

import (
	"bufio"

	"replicator/api"
)

type lsCmd struct {
	bucketFlag
	nodeFlag
	keyFlag
	jsonFlag
	Prefix string `name:"prefix-arg" arg:"" optional:"" help:"Only keys that begin so."`
}

// Help implements kong.HelpProvider.
func (lsCmd) Help() string {
	return `Examples:

    replicator ls
    replicator ls fruit/ -b orders
    replicator ls --json

Keys come in order, one a line. A key that would not be one readable line is quoted; --key-b64 and --json show every key exactly.`
}

// Run prints the keys, page by page.
func (c *lsCmd) Run(a *app) error {
	prefix, err := c.bytes(c.Prefix)
	if err != nil {
		return err
	}
	client, done, err := a.bucketClient(c.Bucket, c.Node)
	if err != nil {
		return err
	}
	defer done()
	out := bufio.NewWriterSize(a.out, 64<<10)
	for r, err := range client.List(a.ctx, c.Bucket, api.ListOptions{Prefix: prefix}) {
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
