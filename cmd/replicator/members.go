package main

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"replicator/api"
)

type membersCmd struct {
	nodeFlag
	jsonFlag
}

// Help implements kong.HelpProvider.
func (membersCmd) Help() string {
	return `Examples:

    replicator members
    replicator members --node b --json

As one node has heard. live: heard lately. stopped: said that it stops. overdue: silent for minutes. evicted: silent for --evict-after of serve; deletes are forgotten without it. left and forgotten: members no more, see leave, forget and readmit. HOLDS UP lists buckets in which deletes are remembered because that member may not know of them.`
}

// Run prints who belongs to the fleet.
func (c *membersCmd) Run(a *app) error {
	st, err := a.statusOf(c.Node)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(map[string]any{"node": st.Node, "members": st.Members})
	}
	table := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "NODE\tROLE\tSTATE\tHEARD\tBUCKETS\tHOLDS UP")
	for i := range st.Members {
		writeMember(table, &st.Members[i], time.Now())
	}
	return table.Flush()
}

func writeMember(table *tabwriter.Writer, m *api.MemberStatus, now time.Time) {
	heard, state := ago(m.LastHeard, now), m.State
	if m.ThisNode {
		heard = "this node"
	}
	if m.RetiredBy != "" && m.RetiredBy != m.Node {
		state += " by " + m.RetiredBy
	}
	_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", m.Node, m.Role, state, heard,
		cmp.Or(strings.Join(m.Buckets, ","), "-"), cmp.Or(strings.Join(m.HoldsUp, ","), "-"))
}
