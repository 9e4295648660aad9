package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"replicator/api"
)

type bucketCmd struct {
	Ls       bucketLsCmd       `cmd:"" default:"withargs" help:"List the buckets of a node."`
	Info     bucketInfoCmd     `cmd:"" help:"Tell how a bucket stands at a node, and what is settled for it."`
	Create   bucketCreateCmd   `cmd:"" help:"Make a bucket, or have a node hold one that others have."`
	Leave    bucketLeaveCmd    `cmd:"" help:"Have a node give up a bucket; the others go on."`
	Set      bucketSetCmd      `cmd:"" help:"Settle something for a bucket, on all nodes."`
	Settings bucketSettingsCmd `cmd:"" help:"List what is settled."`
}

// Help implements kong.HelpProvider.
func (bucketCmd) Help() string {
	return `Examples:

    replicator bucket
    replicator bucket create orders
    replicator bucket set orders --default-ttl 30d
    replicator bucket leave orders --node c

A bucket is a set of keys that replicates as a whole. A node holds every bucket it hears of, unless serve --bucket names those it is to hold.`
}

type bucketLsCmd struct {
	nodeFlag
	jsonFlag
}

// Help implements kong.HelpProvider.
func (bucketLsCmd) Help() string {
	return `Example:

    replicator bucket ls --node b`
}

// Run prints the buckets of a node.
func (c *bucketLsCmd) Run(a *app) error {
	st, err := a.statusOf(c.Node)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(map[string]any{"node": st.Node, "buckets": st.Buckets})
	}
	table := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "BUCKET\tKEYS\tTOMBSTONES\tSTATE")
	for i := range st.Buckets {
		b := &st.Buckets[i]
		_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%s\n", b.Name, b.Keys, b.Tombstones, standing(st, b))
	}
	return table.Flush()
}

type bucketInfoCmd struct {
	nodeFlag
	jsonFlag
	Name string `arg:"" name:"bucket" help:"The bucket."`
}

// Help implements kong.HelpProvider.
func (bucketInfoCmd) Help() string {
	return `Example:

    replicator bucket info orders --node b`
}

// Run prints how a bucket stands.
func (c *bucketInfoCmd) Run(a *app) error {
	client, done, err := a.bucketClient(c.Name, c.Node)
	if err != nil {
		return err
	}
	defer done()
	info, err := client.BucketInfo(a.ctx, c.Name)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(info)
	}
	lines := [][2]string{
		{"keys", fmt.Sprint(info.Keys)},
		{"tombstones", fmt.Sprint(info.Tombstones)},
		{"hash", info.Hash},
		{"origins", fmt.Sprint(len(info.Clock))},
		{"conflicts", fmt.Sprint(info.Conflicts)},
	}
	table := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	for _, line := range append(lines, settled(info.Settings)...) {
		_, _ = fmt.Fprintf(table, "%s\t%s\n", line[0], line[1])
	}
	return table.Flush()
}

// settled lists what the settings say, field by field.
func settled(s api.BucketSettings) (list [][2]string) {
	for _, f := range settingFields {
		if text := f.show(&s); text != "" {
			list = append(list, [2]string{f.name, text})
		}
	}
	return list
}

// settingFields are the fields of settings by the names of their flags.
var settingFields = []struct {
	name  string
	show  func(*api.BucketSettings) string
	clear func(*api.BucketSettings)
}{
	{"durability", func(s *api.BucketSettings) string { return s.Durability }, func(s *api.BucketSettings) { s.Durability = "" }},
	{"default-ttl", func(s *api.BucketSettings) string { return span(s.DefaultTTL) }, func(s *api.BucketSettings) { s.DefaultTTL = 0 }},
	{"collect-after", func(s *api.BucketSettings) string { return span(s.CollectAfter) }, func(s *api.BucketSettings) { s.CollectAfter = 0 }},
	{"ambiguous", func(s *api.BucketSettings) string { return s.Ambiguous }, func(s *api.BucketSettings) { s.Ambiguous = "" }},
	{"create", func(s *api.BucketSettings) string { return strings.Join(s.Create, ",") }, func(s *api.BucketSettings) { s.Create = nil }},
}

func span(s api.Span) string {
	if s == 0 {
		return ""
	}
	return time.Duration(s).String()
}

type bucketCreateCmd struct {
	nodeFlag
	jsonFlag
	Name string `arg:"" name:"bucket" help:"1 to 64 letters, digits, _ or -."`
}

// Help implements kong.HelpProvider.
func (bucketCreateCmd) Help() string {
	return `Example:

    replicator bucket create orders

Every node that holds what it hears of follows. One that has left the bucket holds it again. A bucket that the node holds already is no error.`
}

// Run has a node hold a bucket.
func (c *bucketCreateCmd) Run(a *app) error {
	client, done, err := a.bucketClient(c.Name, c.Node)
	if err != nil {
		return err
	}
	defer done()
	res, err := client.CreateBucket(a.ctx, c.Name)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(res)
	}
	return a.printf("node %s holds bucket %s\n", res.Node, res.Bucket)
}

type bucketLeaveCmd struct {
	yesFlag
	jsonFlag
	Node string `env:"REPLICATOR_NODE" required:"" help:"The node that is to hold it no more."`
	Name string `arg:"" name:"bucket" help:"The bucket."`
	Now  bool   `help:"Do not wait until another has all of it: what only this node has is gone."`
}

// Help implements kong.HelpProvider.
func (bucketLeaveCmd) Help() string {
	return `Examples:

    replicator bucket leave orders --node c
    replicator bucket leave orders --node c --yes --timeout 5m

The node takes no more writes to the bucket, waits until another master has all of it and keeps it, and deletes it from its disk. It does not hold it again for hearing of it, but for: replicator bucket create, or a start with --bucket that names it. Exit code 4 if the others did not have it within --timeout, by default a minute; all is as it was then. What it holds of lost writes (see conflicts) goes, too.

To end a bucket everywhere, delete its keys: replicator del --under '' -b BUCKET`
}

// Run has a node give up a bucket.
func (c *bucketLeaveCmd) Run(a *app) error {
	what := fmt.Sprintf("Node %s gives up bucket %s and deletes it from its disk.", c.Node, c.Name)
	if c.Now {
		what = fmt.Sprintf("Node %s deletes bucket %s at once: what only it has is gone.", c.Node, c.Name)
	}
	if err := errors.Join(checkBucket(c.Name), checkNode(c.Node)); err != nil {
		return err
	}
	if err := a.confirm(what, c.yesFlag); err != nil {
		return err
	}
	client, done, err := a.bucketClient(c.Name, c.Node)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(a.ctx, cmp.Or(a.flags.Timeout, leaveTimeout))
	defer cancel()
	res, err := client.LeaveBucket(ctx, c.Node, c.Name, c.Now)
	if errors.Is(err, api.ErrNotHandedOver) {
		return &exitError{Code: exitBehind, Err: err}
	}
	if a.ctx.Err() != nil {
		return fmt.Errorf("interrupted: node %s goes on with it until --timeout has passed, by default %v", c.Node, leaveTimeout)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(res)
	}
	return a.printf("node %s has left bucket %s\n", res.Node, res.Bucket)
}

type bucketSetCmd struct {
	nodeFlag
	jsonFlag
	Name         string         `arg:"" name:"bucket" help:"The bucket; or with a * at its end all whose names begin so."`
	Durability   string         `enum:",sync,interval" default:"" help:"When a write is answered: sync, after its fsync, or interval, at once."`
	DefaultTTL   *time.Duration `name:"default-ttl" help:"How long rows live whose put names no end."`
	CollectAfter *time.Duration `help:"Forget deletes older than that, whoever may not know of them. Default: when every member does."`
	Ambiguous    string         `enum:",keep,delete,park" default:"" help:"What becomes of a value that may be older than a forgotten delete: keep, delete or park."`
	Create       []string       `placeholder:"NODE" help:"Nodes at which a bucket may be made that nobody holds yet; - for none."`
	Unset        []string       `placeholder:"NAME" help:"Leave that to each node again: the name of a flag above, or all."`
}

// Help implements kong.HelpProvider.
func (bucketSetCmd) Help() string {
	return `Examples:

    replicator bucket set sessions --default-ttl 30m --durability interval
    replicator bucket set 'tmp-*' --collect-after 7d
    replicator bucket set '*' --create a,b
    replicator bucket set sessions --unset default-ttl

Settings are replicated; each node follows them once it has them. What is not settled each node decides by its own flags. Of several that name a bucket, its own come first, then those of the longest pattern, one by one. --default-ttl is for puts from then on.`
}

// Run changes settings.
func (c *bucketSetCmd) Run(a *app) error {
	if err := checkBuckets(c.Name); err != nil {
		return err
	}
	client, done, err := a.client(c.Node)
	if err != nil {
		return err
	}
	defer done()
	all, err := client.Settings(a.ctx)
	if err != nil {
		return err
	}
	s := all[c.Name]
	changed, err := c.change(&s)
	if err != nil {
		return err
	}
	if changed {
		if all, err = client.SetBuckets(a.ctx, c.Name, s); err != nil {
			return err
		}
	}
	if own := all[c.Name]; c.JSON {
		return a.printJSON(own)
	} else if own.IsZero() {
		return a.printf("nothing is settled for %s\n", c.Name)
	}
	return a.printSettings(map[string]api.BucketSettings{c.Name: all[c.Name]})
}

// change puts what the flags say into s.
func (c *bucketSetCmd) change(s *api.BucketSettings) (changed bool, err error) {
	for _, name := range c.Unset {
		some := false
		for _, f := range settingFields {
			if name == f.name || name == "all" {
				f.clear(s)
				some = true
			}
		}
		if !some {
			return false, usage(fmt.Errorf("--unset %s: there is durability, default-ttl, collect-after, ambiguous, create and all", name))
		}
	}
	s.Durability = cmp.Or(c.Durability, s.Durability)
	for name, span := range map[string]struct {
		given *time.Duration
		to    *api.Span
	}{
		"default-ttl": {c.DefaultTTL, &s.DefaultTTL}, "collect-after": {c.CollectAfter, &s.CollectAfter},
	} {
		switch {
		case span.given == nil:
		case *span.given <= 0:
			return false, usage(fmt.Errorf("--%s %v: want a time above 0; --unset %s leaves it to each node again", name, *span.given, name))
		default:
			*span.to = api.Span(*span.given)
		}
	}
	s.Ambiguous = cmp.Or(c.Ambiguous, s.Ambiguous)
	if len(c.Create) > 0 {
		s.Create = c.Create
	}
	if err := s.Check(); err != nil {
		return false, usage(err)
	}
	given := c.Durability != "" || c.DefaultTTL != nil || c.CollectAfter != nil || c.Ambiguous != "" || len(c.Create) > 0
	return given || len(c.Unset) > 0, nil
}

type bucketSettingsCmd struct {
	nodeFlag
	jsonFlag
}

// Help implements kong.HelpProvider.
func (bucketSettingsCmd) Help() string {
	return `Example:

    replicator bucket settings --json`
}

// Run prints what is settled.
func (c *bucketSettingsCmd) Run(a *app) error {
	client, done, err := a.client(c.Node)
	if err != nil {
		return err
	}
	defer done()
	all, err := client.Settings(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(map[string]any{"settings": all})
	}
	if len(all) == 0 {
		return a.printf("nothing is settled: each node decides by its own flags\n")
	}
	return a.printSettings(all)
}

func (a *app) printSettings(all map[string]api.BucketSettings) error {
	table := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "BUCKET\tSETTING\tVALUE")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for _, line := range settled(all[name]) {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", name, line[0], line[1])
		}
	}
	return table.Flush()
}
