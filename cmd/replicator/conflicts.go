package main

import (
	"cmp"
	"fmt"
	"text/tabwriter"

	"replicator/api"
	"replicator/oplog"
)

type conflictsCmd struct {
	Ls   conflictsLsCmd   `cmd:"" default:"withargs" help:"List writes that lost to another whose writer had not seen them."`
	Show conflictsShowCmd `cmd:"" help:"Print the value of one: its bytes alone."`
	Take conflictsTakeCmd `cmd:"" help:"Write one again, so that it wins."`
}

// Help implements kong.HelpProvider.
func (conflictsCmd) Help() string {
	return `Two nodes that write one key while neither has seen the other's write are in conflict. The later write wins on all nodes; the node that lost keeps its own for seven days, at most 1,000 of a bucket. With serve --ambiguous park, a node also keeps what it deleted because it may be older than a forgotten delete: it is listed as parked, and wants --node.

A node that was away for so long that deletes it never saw were forgotten compares all its rows with another's, and removes what that one has no more. Rows removed so are listed, too, for as long, at most 10,000 of a bucket.

Examples:

    replicator conflicts
    replicator conflicts show a/345cbe9f8c6a8650:12
    replicator conflicts take a/345cbe9f8c6a8650:12`
}

type conflictsLsCmd struct {
	bucketFlag
	keyFlag
	jsonFlag
	Node string `env:"REPLICATOR_NODE" help:"Only writes of this node. Default: of all that answer."`
}

// Run lists the lost writes of all nodes.
func (c *conflictsLsCmd) Run(a *app) error {
	client, done, err := a.bucketClient(c.Bucket, c.Node)
	if err != nil {
		return err
	}
	defer done()
	table := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	none := true
	for l, err := range client.Conflicts(a.ctx, c.Node, c.Bucket) {
		if err != nil {
			_ = table.Flush() // what was read stays readable
			return err
		}
		if none && !c.JSON {
			_, _ = fmt.Fprintln(table, "WRITE\tKEY\tBYTES\tWRITTEN (UTC)\tLOST TO\tKEPT BY")
		}
		none = false
		if c.JSON {
			if _, err := a.out.Write(append(l.AppendJSON(nil, false), '\n')); err != nil {
				return err
			}
			continue
		}
		size := fmt.Sprint(l.Size)
		if l.Entry.Tombstone {
			size = "deleted"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s, %s\t%s\n", l.Entry.Dot(), c.show(l.Entry.Key), size,
			l.Entry.Stamp.HLC.Time().UTC().Format(dateTime), l.Winner.Origin.Node, l.Winner.HLC.Time().UTC().Format(dateTime), keptBy(&l))
	}
	if none && !c.JSON {
		_, _ = fmt.Fprintln(table, "no write of bucket "+c.Bucket+" lost to one it had not seen")
	}
	return table.Flush()
}

// keptBy names the node that keeps a write, which show and take want to know
// where it is not the one that wrote it.
func keptBy(l *api.Lost) string {
	switch {
	case l.Parked:
		return l.Node + ", parked"
	case l.Removed:
		return l.Node + ", removed"
	}
	return l.Node
}

const dateTime = "2006-01-02 15:04:05"

type conflictsShowCmd struct {
	bucketFlag
	jsonFlag
	Node  string `help:"The node that keeps it. Default: the one that wrote it. Removed and parked ones are kept where that was done."`
	Write string `arg:"" help:"The write, as conflicts ls names it."`
}

// Run prints the value of a lost write.
func (c *conflictsShowCmd) Run(a *app) error {
	dot, client, done, err := a.lostWrite(c.Bucket, c.Node, c.Write)
	if err != nil {
		return err
	}
	defer done()
	l, err := client.Conflict(a.ctx, c.Node, c.Bucket, dot)
	if err != nil {
		return err
	}
	if c.JSON {
		_, err = a.out.Write(append(l.AppendJSON(nil, true), '\n'))
		return err
	}
	_, err = a.out.Write(l.Entry.Value)
	return err
}

type conflictsTakeCmd struct {
	bucketFlag
	jsonFlag
	Node  string `help:"The node that keeps it. Default: the one that wrote it. Removed and parked ones are kept where that was done."`
	Write string `arg:"" help:"The write, as conflicts ls names it."`
}

// Run writes a lost write again.
func (c *conflictsTakeCmd) Run(a *app) error {
	dot, client, done, err := a.lostWrite(c.Bucket, c.Node, c.Write)
	if err != nil {
		return err
	}
	defer done()
	res, err := client.TakeConflict(a.ctx, c.Node, c.Bucket, dot)
	if err != nil {
		return err
	}
	return a.printPut(c.JSON, res)
}

// lostWrite reads the name of a lost write and connects.
func (a *app) lostWrite(bucket, node, write string) (oplog.Dot, *api.Client, func(), error) {
	dot, err := oplog.ParseDot(write)
	if err != nil {
		return dot, nil, nil, usage(err)
	}
	client, done, err := a.bucketClient(bucket, cmp.Or(node, dot.Origin.Node))
	return dot, client, done, err
}
