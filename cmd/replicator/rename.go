package main

import (
	"errors"
	"fmt"

	"replicator"
)

// dataFlag says where a store is.
type dataFlag struct {
	Data string `default:"./replicator-data" placeholder:"DIR" env:"REPLICATOR_DATA" help:"Folder of the store (./replicator-data)."`
}

type renameCmd struct {
	dataFlag
	New string `arg:"" help:"The new name."`
}

// Help implements kong.HelpProvider.
func (renameCmd) Help() string {
	return `Example:

    replicator rename north-2 --data /var/lib/replicator

The node must not run. What it wrote keeps the old name; its next write is the first of the new one.`
}

// Run renames the node of a stopped store.
func (c *renameCmd) Run(a *app) error {
	if err := checkNode(c.New); err != nil {
		return err
	}
	err := replicator.Rename(c.Data, c.New)
	if errors.Is(err, replicator.ErrNoStore) {
		return fmt.Errorf("%w; say where it is with --data", err)
	}
	if err != nil {
		return err
	}
	return a.printf("the node in %s is now called %s\n", c.Data, c.New)
}
