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
    replicator status --node b --json`
}

// Run prints how the node stands.
func (c *statusCmd) Run(a *app) error {
	client, done, err := a.client(c.Node)
	if err != nil {
		return err
	}
	defer done()
	st, err := client.Status(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(st)
	}
	return printStatus(a.out, st, time.Now())
}

func printStatus(w io.Writer, st api.Status, now time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, "node %s %s, %s\n", st.Node, st.Version, readiness(st))
	tab := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for i := range st.Buckets {
		writeBucket(tab, &st.Buckets[i], now)
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

func writeBucket(w io.Writer, b *api.BucketStatus, now time.Time) {
	state := "in step"
	if b.CatchingUp {
		state = "catching up"
	}
	_, _ = fmt.Fprintf(w, "bucket %s\t%d keys\thash %s\t%s\n", b.Name, b.Keys, b.Hash, state)
	if p := b.Pull; p != nil {
		left := time.Duration(p.ETASeconds * float64(time.Second)).Round(time.Second)
		_, _ = fmt.Fprintf(w, "  pull from %s\t%d of %d rows\t%d KiB\t%v left\n", p.Donor, p.Keys, p.Rows, p.Bytes>>10, left)
	}
	for _, p := range b.Peers {
		_, _ = fmt.Fprintf(w, "  peer %s\t%s\tseen %s\t\n", p.Node, peerState(p), ago(p.LastSeen, now))
	}
}

func peerState(p api.BucketPeer) string {
	switch {
	case p.InSync:
		return "in sync"
	case p.Behind == nil:
		return "not in sync"
	}
	return fmt.Sprintf("%d writes behind", *p.Behind)
}

func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return now.Sub(t).Round(time.Second).String() + " ago"
}
