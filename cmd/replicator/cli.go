package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"replicator/api"
	"replicator/bench"
)

const description = `A master-master key-value store over NATS: every node keeps all data on its own disk, takes writes at any time, alone and offline too, and all copies come to the same state.

"replicator serve" starts a node; the other commands speak to one.`

// A cli is the whole grammar of the program.
type cli struct {
	globals

	Serve      serveCmd      `cmd:"" help:"Run a node."`
	Put        putCmd        `cmd:"" help:"Write a value."`
	Create     createCmd     `cmd:"" help:"Write a value if the node has none."`
	Update     updateCmd     `cmd:"" help:"Replace one revision of a value at the node."`
	Get        getCmd        `cmd:"" help:"Print a value, its bytes alone, or several."`
	Del        delCmd        `cmd:"" help:"Delete a key, or all that begin alike."`
	Ls         lsCmd         `cmd:"" help:"List keys."`
	Watch      watchCmd      `cmd:"" help:"Print changes as they happen."`
	Status     statusCmd     `cmd:"" help:"Tell how a node stands."`
	Import     importCmd     `cmd:"" help:"Write many values from lines of JSON."`
	Adopt      adoptCmd      `cmd:"" help:"Write all keys of another program's Pebble directory."`
	Batch      batchCmd      `cmd:"" help:"Write many values as one: all or nothing."`
	Export     exportCmd     `cmd:"" help:"Print all keys and values as lines of JSON."`
	Sync       syncCmd       `cmd:"" help:"Pull and push until in sync."`
	Wait       waitCmd       `cmd:"" help:"Wait until nodes are in sync."`
	Reached    reachedCmd    `cmd:"" help:"Ask which nodes have a write on their disks."`
	Verify     verifyCmd     `cmd:"" help:"Ask every node whether all copies are the same."`
	Conflicts  conflictsCmd  `cmd:"" help:"Show writes that lost to others, and take them back."`
	Bucket     bucketCmd     `cmd:"" help:"Make, list, settle and leave buckets."`
	Members    membersCmd    `cmd:"" help:"List the nodes of the fleet, and how they stand."`
	Leave      leaveCmd      `cmd:"" help:"Have a node leave the fleet for good."`
	Forget     forgetCmd     `cmd:"" help:"Give up on a node that does not come back."`
	Readmit    readmitCmd    `cmd:"" help:"Take a node back that left or was forgotten."`
	Collect    collectCmd    `cmd:"" help:"Forget old deletes, whoever may not know of them."`
	Reconcile  reconcileCmd  `cmd:"" help:"Show reconciles that wait, and let them go on."`
	Rename     renameCmd     `cmd:"" help:"Give a stopped node another name."`
	Bench      benchCmd      `cmd:"" help:"Measure this machine: masters, and what they could be."`
	Decode     decodeCmd     `cmd:"" help:"Print a message of the wire, read from standard input."`
	Completion completionCmd `cmd:"" help:"Print a script that completes commands in a shell."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

// globals are the flags of every command.
type globals struct {
	Config     string `placeholder:"FILE" env:"REPLICATOR_CONFIG" help:"Settings file (YAML): the long names of these flags, as data: /var/lib/replicator."`
	Prefix     string `default:"replicator" env:"REPLICATOR_PREFIX" help:"First token of all subjects."`
	connection `group:"connection"`
}

func (g *globals) check() error {
	if g.Timeout < 0 {
		return usage(fmt.Errorf("--timeout %v: want a time above 0", g.Timeout))
	}
	if err := api.CheckPrefix(g.Prefix); err != nil {
		return usage(err)
	}
	return nil
}

// bucketFlag is for commands that speak of one bucket.
type bucketFlag struct {
	Bucket string `short:"b" default:"default" env:"REPLICATOR_BUCKET" help:"Bucket."`
}

// scopeFlag is for commands that speak of all buckets, or one.
type scopeFlag struct {
	Bucket *string `short:"b" env:"REPLICATOR_BUCKET" help:"Only this bucket. Default: all."`
}

func (f scopeFlag) bucket() (string, error) {
	if f.Bucket == nil {
		return "", nil
	}
	return *f.Bucket, checkBucket(*f.Bucket)
}

// nodeFlag is for commands that speak to one node.
type nodeFlag struct {
	Node string `env:"REPLICATOR_NODE" help:"Node to speak to. Default: the one in the server connected to, else any ready one."`
}

// yesFlag is for commands that are hard to take back.
type yesFlag struct {
	Yes bool `short:"y" help:"Do not ask."`
}

type jsonFlag struct {
	JSON bool `name:"json" short:"j" help:"Print JSON."`
}

// keyFlag says how keys are given and shown.
type keyFlag struct {
	KeyB64 bool `name:"key-b64" help:"Keys are base64, here and in what is printed."`
}

func newParser(c *cli, args []string, io stdio) (*kong.Kong, error) {
	opts := []kong.Option{
		kong.Name("replicator"),
		kong.Description(description),
		kong.Writers(io.out, io.err),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.ExplicitGroups([]kong.Group{{Key: "connection", Title: "Connection, as in the nats CLI:"}}),
		kong.UsageOnError(),
		kong.Vars{"workloads": strings.Join(bench.Workloads(), ", "), "durabilities": strings.Join(bench.Durabilities(), ", ")},
		durations,
	}
	if file := configFile(args); file != "" {
		s, err := readSettings(file)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kong.Resolvers(s))
	}
	return kong.New(c, opts...)
}
