package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"replicator/api"
	"replicator/oplog"
)

// afterFlag is for commands that read.
type afterFlag struct {
	After string `placeholder:"TOKEN" help:"Wait until the node has seen that write: what put printed, or several with commas."`
}

// context returns one whose reads wait for the tokens.
func (f afterFlag) context(ctx context.Context) (context.Context, error) {
	if f.After == "" {
		return ctx, nil
	}
	tokens, err := api.ParseTokens(f.After)
	if err != nil {
		return nil, usage(err)
	}
	return api.After(ctx, tokens...), nil
}

// holdTimeout is how long the other nodes are waited for, unless --timeout says so.
const holdTimeout = 30 * time.Second

// waitFlag is for commands that write.
type waitFlag struct {
	Wait string `placeholder:"WHO" help:"Wait until members have the write on their disks, the node that writes among them: all, so many as 2, a share as 50%, or nodes by name as a,b. Not in --timeout: exit code 4."`
}

// printHeld prints which write it was, and waits for the nodes that are to have it.
func (f waitFlag) printHeld(a *app, client *api.Client, bucket string, asJSON bool, res api.PutResult) error {
	if err := a.printPut(asJSON, res); err != nil {
		return err
	}
	token, err := res.Token()
	if err != nil {
		return err
	}
	return f.hold(a, client, bucket, token)
}

// hold waits for the nodes that the flag wants to have what was written.
func (f waitFlag) hold(a *app, client *api.Client, bucket string, tokens ...oplog.Dot) error {
	if f.Wait == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(a.ctx, cmp.Or(a.flags.Timeout, holdTimeout))
	defer cancel()
	h, err := f.ask(ctx, client, bucket, tokens)
	switch {
	case err != nil:
		return &exitError{Code: exitBehind, Err: fmt.Errorf("written, but nobody was waited for: %w", err)}
	case h.Enough():
		return nil
	}
	missing := strings.Join(slices.Sorted(maps.Keys(h.Missing)), ", ")
	return &exitError{Code: exitBehind, Err: fmt.Errorf("written, but not known to be on the disks of %s: only on %d of %d",
		missing, len(h.Nodes), h.Wanted)}
}

// checkAt refuses, before anything is written, what cannot be as the node knows the
// members.
func (f waitFlag) checkAt(a *app, client *api.Client, bucket string) error {
	if f.Wait == "" {
		return nil
	}
	q, err := f.quorum()
	if err != nil {
		return err
	}
	st, err := client.Status(a.ctx)
	if err != nil {
		return err
	}
	if _, _, err = q.Choose(bucket, st.Members); errors.Is(err, api.ErrTooFew) {
		return fmt.Errorf("--wait %s: %w; nothing was written", f.Wait, err)
	}
	return nil // a bucket that nobody holds may be made
}

// ask asks the nodes that the flag wants.
func (f waitFlag) ask(ctx context.Context, client *api.Client, bucket string, tokens []oplog.Dot) (api.Holding, error) {
	q, err := f.quorum()
	if err != nil {
		return api.Holding{}, err
	}
	h, err := client.HoldBy(ctx, bucket, q, tokens...)
	if errors.Is(err, api.ErrTooFew) {
		err = fmt.Errorf("--wait %s: %w", f.Wait, err)
	}
	return h, err
}

// check refuses what is no such flag before anything is written.
func (f waitFlag) check() error {
	if f.Wait == "" {
		return nil
	}
	_, err := f.quorum()
	return err
}

func (f waitFlag) quorum() (api.Quorum, error) {
	q, err := api.ParseQuorum(f.Wait)
	if err != nil {
		return q, usage(fmt.Errorf("--wait %s: %w", f.Wait, err))
	}
	return q, nil
}

type reachedCmd struct {
	bucketFlag
	nodeFlag
	jsonFlag
	waitFlag
	Token string `arg:"" help:"What put, del or batch printed; several with commas."`
}

// Help implements kong.HelpProvider.
func (reachedCmd) Help() string {
	return `Examples:

    replicator reached a/5f0d7c1e9a2b3344:7
    replicator reached a/5f0d7c1e9a2b3344:7 --wait 2 --timeout 5s

Asks which nodes have the write on their disks, or what beat it, and all that its node wrote before. Waits until all members have, or as many as --wait says, but no longer than --timeout, by default a second. Exit code 4 if they have not.`
}

// reachedTimeout is short: who asks wants to know how it is.
const reachedTimeout = time.Second

// Run tells who has the write.
func (c *reachedCmd) Run(a *app) error {
	c.Wait = cmp.Or(c.Wait, "all")
	if err := c.check(); err != nil {
		return err
	}
	tokens, err := api.ParseTokens(c.Token)
	if err != nil {
		return usage(err)
	}
	client, done, err := a.bucketClient(c.Bucket, c.Node)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(a.ctx, cmp.Or(a.flags.Timeout, reachedTimeout))
	defer cancel()
	h, err := c.ask(ctx, client, c.Bucket, tokens)
	if err != nil {
		return err
	}
	if err := c.print(a, h.Told()); err != nil {
		return err
	}
	if !h.Enough() {
		return &exitError{Code: exitBehind, Err: fmt.Errorf("known to be on %d of %d disks", len(h.Nodes), h.Wanted)}
	}
	return nil
}

// A reachedBy is what reached --json prints.
type reachedBy struct {
	V       int               `json:"v"`
	Reached []string          `json:"reached"`
	Missing map[string]string `json:"missing"` // why, by node
}

func (c *reachedCmd) print(a *app, told api.HeldBy) error {
	out := reachedBy{V: 1, Reached: told.Reached, Missing: told.Missing}
	if c.JSON {
		return a.printJSON(out)
	}
	for _, node := range out.Reached {
		if err := a.printf("%s: has it\n", node); err != nil {
			return err
		}
	}
	for _, node := range slices.Sorted(maps.Keys(out.Missing)) {
		if err := a.printf("%s: %s\n", node, out.Missing[node]); err != nil {
			return err
		}
	}
	return nil
}
