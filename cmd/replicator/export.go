package main

import (
	"bufio"
	"fmt"

	"github.com/vbauerster/mpb/v8/decor"

	"replicator/api"
)

type exportCmd struct {
	bucketFlag
	nodeFlag
	keyFlag
	jsonFlag
	Prefix string `name:"prefix-arg" arg:"" optional:"" help:"Only keys that begin so."`
	Full   bool   `help:"Add origin, seq, hlc, timestamp and expiry to each line, for reading."`
}

// Help implements kong.HelpProvider.
func (exportCmd) Help() string {
	return `Examples:

    replicator export > backup.ndjson
    replicator export fruit/ --full | jq .timestamp

Lines come in order of their keys and are always JSON. An export of a bucket that is being written to is not of one moment.`
}

// Run prints the bucket.
func (c *exportCmd) Run(a *app) error {
	prefix, err := c.bytes(c.Prefix)
	if err != nil {
		return err
	}
	client, done, err := a.bucketClient(c.Bucket, c.Node)
	if err != nil {
		return err
	}
	defer done()
	bar := newMeter(a.err, "export", c.keys(a, client), decor.CountersNoUnit("%d / %d keys"))
	defer bar.close()
	out := bufio.NewWriterSize(a.out, 256<<10)
	found := 0
	var line []byte
	for r, err := range client.List(a.ctx, c.Bucket, api.ListOptions{Prefix: prefix, Values: true, Full: c.Full}) {
		if err != nil {
			_ = out.Flush() // what was read stays readable
			return err
		}
		r.Node = ""
		line = append(r.AppendJSON(line[:0]), '\n')
		if _, err := out.Write(line); err != nil {
			return err
		}
		bar.add(1)
		found++
	}
	if found == 0 && c.Prefix != "" {
		_, _ = fmt.Fprintf(a.err, "replicator: no key begins with %s; a file is written with: replicator export > FILE\n", c.Prefix)
	}
	return out.Flush()
}

// keys is how many keys there are, for the bar; 0 if that cannot be told.
func (c *exportCmd) keys(a *app, client *api.Client) int64 {
	if c.Prefix != "" {
		return 0
	}
	st, err := client.Status(a.ctx)
	if err != nil {
		return 0
	}
	for i := range st.Buckets {
		if st.Buckets[i].Name == c.Bucket {
			return int64(st.Buckets[i].Keys)
		}
	}
	return 0
}
