package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"replicator/api"
)

// leaveTimeout is how long leave waits for the others, unless --timeout says so.
const leaveTimeout = time.Minute

type leaveCmd struct {
	yesFlag
	jsonFlag
	Name string `arg:"" name:"node" help:"The node that leaves."`
	Now  bool   `help:"Do not wait until the others have all it has: what only it has stays on its disk."`
}

// Help implements kong.HelpProvider.
func (leaveCmd) Help() string {
	return `Examples:

    replicator leave c
    replicator leave c --yes --timeout 5m
    replicator leave c --now --yes

For good: the node takes no more writes, waits until every other live node has all it has, says that it has left, and ends. Nothing waits for it from then on. To stop a node that comes back, end it with SIGTERM instead. One that is started again from the same folder replicates and refuses writes until it is taken back with: replicator readmit`
}

// Run has a node leave.
func (c *leaveCmd) Run(a *app) error {
	if err := a.confirm(fmt.Sprintf("Node %s leaves the fleet for good.", c.Name), c.yesFlag); err != nil {
		return err
	}
	return a.tell(errand{c.Name, c.Name, c.JSON, "node %s has left the fleet\n"}, func(client *api.Client) (api.MemberResult, error) {
		ctx, cancel := context.WithTimeout(a.ctx, cmp.Or(a.flags.Timeout, leaveTimeout))
		defer cancel()
		res, err := client.Leave(ctx, c.Name, c.Now)
		switch {
		case err != nil && a.ctx.Err() != nil:
			err = fmt.Errorf("interrupted: node %s goes on, and has left as soon as the others have all it has, or is a member as before when its time is up: replicator members", c.Name)
		case errors.Is(err, api.ErrReplicaStays):
			err = fmt.Errorf("replica %s cannot leave, and need not: stop it, then: replicator forget %s", c.Name, c.Name)
		}
		return res, err
	})
}

type forgetCmd struct {
	nodeFlag
	yesFlag
	jsonFlag
	Member string `arg:"" help:"The node that does not come back."`
	Force  bool   `help:"Also if it was heard lately."`
}

// Help implements kong.HelpProvider.
func (forgetCmd) Help() string {
	return `Examples:

    replicator forget c
    replicator forget c --yes

For a node whose disk is lost. One node is told, all others learn of it, also those that are away now. Nothing waits for the forgotten node any more, and what was lost of its writes does not count as missing. If it comes back after all, nothing it has is lost, but it refuses writes until it is taken back with: replicator readmit`
}

// Run has the fleet forget a node.
func (c *forgetCmd) Run(a *app) error {
	question := fmt.Sprintf("The fleet forgets node %s: writes that only its disk has are not waited for.", c.Member)
	if err := a.confirm(question, c.yesFlag); err != nil {
		return err
	}
	return a.tell(errand{c.Node, c.Member, c.JSON, "node %s is forgotten\n"}, func(client *api.Client) (api.MemberResult, error) {
		return client.Forget(a.ctx, c.Member, c.Force)
	})
}

type readmitCmd struct {
	nodeFlag
	jsonFlag
	Member string `arg:"" help:"The node that left or was forgotten."`
}

// Help implements kong.HelpProvider.
func (readmitCmd) Help() string {
	return `Example:

    replicator readmit c

The node is a member again: it takes writes, and deletes are remembered for it. One that missed deletes which the others have forgotten meanwhile compares all its rows with theirs; what only it has stays. A new node under a name that was forgotten needs this, too.`
}

// Run takes back what leave or forget has done.
func (c *readmitCmd) Run(a *app) error {
	return a.tell(errand{c.Node, c.Member, c.JSON, "node %s is a member again\n"}, func(client *api.Client) (api.MemberResult, error) {
		return client.Readmit(a.ctx, c.Member)
	})
}

// An errand is something about a member that one node is told.
type errand struct {
	node   string // empty: any
	member string
	json   bool
	done   string // printed at the end, with the member's name
}

func (a *app) tell(e errand, do func(*api.Client) (api.MemberResult, error)) error {
	if err := checkNode(e.member); err != nil {
		return err
	}
	client, end, err := a.client(e.node)
	if err != nil {
		return err
	}
	defer end()
	res, err := do(client)
	if err != nil {
		return err
	}
	if e.json {
		return a.printJSON(res)
	}
	return a.printf(e.done, e.member)
}
