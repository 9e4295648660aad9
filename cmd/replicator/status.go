package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"replicator/api"
)

type statusCmd struct {
	nodeFlag
	jsonFlag
}

// Help implements kong.HelpProvider.
func (statusCmd) Help() string {
	return `Examples:

    replicator status
    replicator status --node b --json

A peer is in sync if the last that was heard of it is this node's state. That is not so for a moment after each write. Stopped: it said goodbye. Silent: it did not.`
}

// Run prints how the node stands.
func (c *statusCmd) Run(a *app) error {
	st, err := a.statusOf(c.Node)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(st)
	}
	return printStatus(a.out, st, time.Now())
}

// statusOf asks a node, empty for any, how it stands.
func (a *app) statusOf(node string) (api.Status, error) {
	client, done, err := a.client(node)
	if err != nil {
		return api.Status{}, err
	}
	defer done()
	return client.Status(a.ctx)
}

func printStatus(w io.Writer, st api.Status, now time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, "node %s %s, %s\n", st.Node, st.Version, readiness(st))
	tab := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for i := range st.Buckets {
		writeBucket(tab, st, &st.Buckets[i], now)
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func readiness(st api.Status) string {
	words := []string{"not ready"}
	if st.Ready {
		words[0] = "ready"
	}
	if st.Role == api.RoleReplica {
		words = append(words, "a replica")
	}
	if st.Fenced != "" {
		words = append(words, "writes are fenced: "+st.Fenced)
	}
	if st.NoWrite != "" {
		words = append(words, "read-only: "+st.NoWrite)
	}
	return strings.Join(words, ", ")
}

func writeBucket(w io.Writer, st api.Status, b *api.BucketStatus, now time.Time) {
	state := standing(st, b)
	switch {
	case b.Doubt != nil && b.Doubt.Empties:
		state = "waits to be emptied"
	case b.Doubt != nil:
		state = fmt.Sprintf("reconcile waits: %d of %d rows would go", b.Doubt.Removes, b.Doubt.Rows)
	case b.Reconcile:
		state = "reconciling"
	case b.CatchingUp:
		state = "catching up"
	}
	_, _ = fmt.Fprintf(w, "bucket %s\t%d keys\thash %s\t%s\n", b.Name, b.Keys, b.Hash, state)
	if p := b.Pull; p != nil {
		left := time.Duration(p.ETASeconds * float64(time.Second)).Round(time.Second)
		_, _ = fmt.Fprintf(w, "  pull from %s\t%d of %d rows\t%d KiB\t%v left\n", p.Donor, p.Keys, p.Rows, p.Bytes>>10, left)
	}
	for _, p := range b.Peers {
		_, _ = fmt.Fprintf(w, "  peer %s\t%s\theard %s\t\n", p.Node, peerState(p, stopping(st, p.Node)), ago(p.LastSeen, now))
	}
}

// standing tells how the copy here stands to those of the others, as far as is known.
func standing(st api.Status, b *api.BucketStatus) string {
	missing, others, same := uint64(0), 0, 0
	for _, p := range b.Peers {
		if p.Behind != nil {
			missing += *p.Behind
		}
		if p.Live && !stopping(st, p.Node) {
			if others++; p.InSync {
				same++
			}
		}
	}
	switch {
	case missing == 1:
		return "1 write missing"
	case missing > 0:
		return fmt.Sprintf("%d writes missing", missing)
	case same == others:
		return "in sync"
	}
	return fmt.Sprintf("in sync with %d of %d", same, others)
}

func peerState(p api.BucketPeer, stopped bool) string {
	switch {
	case stopped:
		return "stopped"
	case !p.Live:
		return "silent"
	case p.InSync:
		return "in sync"
	case p.Behind != nil && *p.Behind > 0:
		return fmt.Sprintf("%d of its writes missing", *p.Behind)
	}
	return "not in sync"
}

func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return now.Sub(t).Round(time.Second).String() + " ago"
}
