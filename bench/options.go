package bench

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"replicator"
	"replicator/internal/bareloop"
)

// A durability is a pair of rules that promise the same.
type durability struct {
	name   string
	ours   replicator.Durability
	loop   bareloop.Durability
	always bool // JetStream syncs each write
}

// durabilities are all that there are. A master's is compared with the loop under the
// same rule; one that answers before the fsync with JetStream's default, which does.
var durabilities = []durability{
	{"sync", replicator.DurabilitySync, bareloop.Sync, true},
	{"interval", replicator.DurabilityInterval, bareloop.Interval, false},
}

// Durabilities lists what Options.Durability may name.
func Durabilities() []string {
	var names []string
	for _, d := range durabilities {
		names = append(names, d.name)
	}
	return names
}

// Options tune a run. Defaults are those to begin with.
type Options struct {
	// Dir is where the contestants' folders are made, and removed again. It has to be on
	// the disk that is to be measured. Default: the system's folder for what is temporary.
	Dir string
	// Rounds is how often each contestant does each work. By default 5.
	Rounds int
	// Keys is how many keys an initial sync brings. By default 1,000,000.
	Keys int
	// ValueSize is of each value, in bytes; 8 at least. By default 100.
	ValueSize int
	// Writers put at the same time. By default 64.
	Writers int
	// Masters is how many have written, in the second handshake. By default 1,000.
	Masters int
	// Time is for how long there are puts in a run. By default 1.5 s.
	Time time.Duration
	// Only names the workloads to run. Default: all.
	Only []string
	// Durability names those to run. Default: all.
	Durability []string
	// Connect opens a connection to a NATS server that is there. Default: each run has
	// an embedded one. JetStream KV brings its own two either way.
	Connect func(name string, opts ...nats.Option) (*nats.Conn, error)
	// Prefix is of the subjects on a server that is there; a token of this run follows.
	// By default "replicator".
	Prefix string
	// Progress is told what is about to run.
	Progress func(Step)
}

// A Step is one run of one contestant.
type Step struct {
	Number, Of int
	Round      int // 0 while a workload is made ready
	Workload   string
	Contestant string
}

// An OptionError says which option cannot be.
type OptionError struct{ Option, Reason string }

func (e *OptionError) Error() string { return e.Option + " " + e.Reason }

// Defaults are the options of the tables in docs/performance.md.
func Defaults() Options {
	return Options{Rounds: 5, Keys: 1_000_000, ValueSize: 100, Writers: 64, Masters: 1000, Time: 1500 * time.Millisecond}
}

func (o Options) checked() (Options, error) {
	o.Prefix = cmp.Or(o.Prefix, "replicator")
	if o.Progress == nil {
		o.Progress = func(Step) {}
	}
	for _, n := range []struct {
		option        string
		is, low, high int
	}{
		{"rounds", o.Rounds, 1, 1000},
		{"keys", o.Keys, 1000, 100_000_000},
		{"value-size", o.ValueSize, 8, 512 << 10},
		{"writers", o.Writers, 1, 4096},
		{"masters", o.Masters, 2, 60_000},
		{"time", int(o.Time.Milliseconds()), 50, 3_600_000},
	} {
		if n.is < n.low || n.is > n.high {
			unit := ""
			if n.option == "time" {
				unit = " ms"
			}
			return o, &OptionError{n.option, fmt.Sprintf("%d%s: want %d to %d%s", n.is, unit, n.low, n.high, unit)}
		}
	}
	if err := among("only", o.Only, Workloads()); err != nil {
		return o, err
	}
	if err := among("durability", o.Durability, Durabilities()); err != nil {
		return o, err
	}
	return o, o.durable()
}

// durable refuses durabilities that no workload runs with.
func (o *Options) durable() error {
	list := (&runner{Options: *o}).workloads()
	if len(o.Durability) == 0 || slices.ContainsFunc(list, func(w workload) bool { return w.durability != "" }) {
		return nil
	}
	return &OptionError{"durability", fmt.Sprintf("%s: none of %s runs with that", strings.Join(o.Durability, ","), strings.Join(o.Only, ", "))}
}

func among(option string, names, all []string) error {
	for _, name := range names {
		if !slices.Contains(all, name) {
			return &OptionError{option, fmt.Sprintf("%q: want some of %s", name, strings.Join(all, ", "))}
		}
	}
	return nil
}

// picked reports whether name is among the names that were asked for.
func picked(names []string, name string) bool {
	return len(names) == 0 || slices.Contains(names, name)
}
