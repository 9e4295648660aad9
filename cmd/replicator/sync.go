package main

import (
	"errors"
	"fmt"

	"replicator/api"
)

type syncCmd struct {
	scopeFlag
	nodeFlag
	jsonFlag
	Once bool `help:"Sync now, say so, and end."`
}

// Help implements kong.HelpProvider.
func (syncCmd) Help() string {
	return `Example:

    replicator sync --once

The node pulls from every peer that answers, and they pull from it, until nothing is missing on either side. Nodes do so by themselves; this is for scripts that want to know when it is done.`
}

// Run has the node sync and says when it is in sync.
func (c *syncCmd) Run(a *app) error {
	if !c.Once {
		return usage(errors.New("nodes sync by themselves; sync --once does it now and says when it is done"))
	}
	bucket, err := c.bucket()
	if err != nil {
		return err
	}
	client, done, err := a.client(c.Node)
	if err != nil {
		return err
	}
	defer done()
	at := c.Node
	told := map[string]api.SyncProgress{} // the last line of each bucket and peer
	if err := client.Sync(a.ctx, bucket, func(node string, p api.SyncProgress) {
		at = node
		if who := p.Bucket + " " + p.Peer; told[who] != p {
			told[who] = p
			c.progress(a, p)
		}
	}); err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(syncDone{InSync: true, Node: at})
	}
	return a.printf("in sync\n")
}

// A syncDone is what sync --json prints last. The node is left out if nobody
// was there to sync with and none was named.
type syncDone struct {
	InSync bool   `json:"in_sync"`
	Node   string `json:"node,omitempty"`
}

// progress is for whoever watches; what cannot be shown is not missed.
func (c *syncCmd) progress(a *app, p api.SyncProgress) {
	if c.JSON {
		_ = a.printJSON(p)
		return
	}
	state := fmt.Sprintf("%d keys, %d KiB", p.Keys, p.Bytes>>10)
	if p.InSync {
		state = "in sync"
	}
	if p.Text != "" {
		state += ", " + p.Text
	}
	_ = a.printf("bucket %s, peer %s: %s\n", p.Bucket, p.Peer, state)
}
