package main

import (
	"replicator/api"
)

// The conditions of create and update hold at one node. Another node may write the
// same key at the same time: the names of the flags say local.

type createCmd struct{ putCmd }

// Help implements kong.HelpProvider.
func (createCmd) Help() string {
	return `Examples:

    replicator create lock/7 "held by the first"

Writes the value only if the node that takes it has no row of the key; else it is exit code 6. Another node may create the same key at the same time: then the later one stays everywhere, and the other is listed by conflicts.`
}

// Run writes the value and prints which write that was.
func (c *createCmd) Run(a *app) error { return c.write(a, api.Condition{Absent: true}) }

type updateCmd struct {
	putCmd
	IfLocal string `required:"" placeholder:"REVISION" help:"The revision that is to be replaced, as put prints it and get --json tells it: origin:seq."`
}

// Help implements kong.HelpProvider.
func (updateCmd) Help() string {
	return `Examples:

    replicator update colour blue --if-local "$(replicator put colour red)"

Writes the value only if the row at the node that takes it is still that revision; else it is exit code 6. Another node may update the same key at the same time: then the later one stays everywhere, and the other is listed by conflicts.`
}

// Run writes the value and prints which write that was.
func (c *updateCmd) Run(a *app) error {
	cond, err := revisionFlag(c.IfLocal)
	if err != nil {
		return err
	}
	return c.write(a, cond)
}
