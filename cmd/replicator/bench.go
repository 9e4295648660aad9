package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/term"

	"replicator/bench"
)

type benchCmd struct {
	jsonFlag
	Markdown   bool           `help:"Print the tables of docs/performance.md."`
	Quick      bool           `help:"One short round with little data: whether it runs, in seconds. What other flags say beats it."`
	Only       []string       `placeholder:"NAME" help:"Only these workloads: ${workloads}."`
	Durability []string       `placeholder:"RULE" help:"Only these durabilities: ${durabilities}."`
	Rounds     *int           `placeholder:"N" help:"How often each contestant does each work (5)."`
	Keys       *int           `placeholder:"N" help:"Keys of an initial sync (1000000)."`
	ValueSize  *int           `placeholder:"BYTES" help:"Bytes of each value (100)."`
	Writers    *int           `placeholder:"N" help:"Writers at the same time (64)."`
	Masters    *int           `placeholder:"N" help:"Masters that have written, in the second handshake (1000)."`
	Time       *time.Duration `placeholder:"TIME" help:"For how long there are puts in each run (1.5s)."`
	Dir        string         `placeholder:"DIR" help:"Folder on the disk to measure; what is made in it is removed. Default: the one for temporary files."`
}

// Help implements kong.HelpProvider.
func (benchCmd) Help() string {
	return `Examples:

    replicator bench
    replicator bench --quick
    replicator bench --only live,propagation --durability sync --dir /var/lib
    replicator bench --only initial --keys 200000 --rounds 3 --json
    replicator bench --server nats://127.0.0.1:4222

Measures masters on this machine, its disk and NATS, in one process: beside a bare loop that writes the same rows and does nothing else, beside JetStream KV from a hub to a leaf, and beside Pebble and NATS alone. In each round all do the same in turn; the figures are medians, the ratios are made of them. It takes some ten minutes and up to 3 GB of disk.

With --server, NATS_URL, --context or NATS_CONTEXT masters, loops and raw NATS use that NATS server, under a prefix of their own; else each has an embedded one. JetStream KV always brings its own two. Without a terminal the lines are: workload, durability, contestant, median, least, most, unit; then workload, durability, ratio, its value and its goal.`
}

// Run measures and prints.
func (c *benchCmd) Run(a *app) error {
	if c.JSON && c.Markdown {
		return usage(errors.New("--json and --markdown exclude each other"))
	}
	o := c.options(a)
	line := newStepLine(a.err)
	o.Progress = line.show
	rep, err := bench.Run(a.ctx, o)
	line.clear()
	switch wrong, isOption := errors.AsType[*bench.OptionError](err); {
	case isOption:
		return usage(fmt.Errorf("--%s %s", wrong.Option, wrong.Reason))
	case errors.Is(err, errSignal) && !isA[*bench.LeftError](err):
		return fmt.Errorf("%w; nothing is left of what it wrote", err)
	case err != nil:
		return err
	}
	switch {
	case c.JSON:
		return a.printJSON(rep)
	case c.Markdown:
		return rep.Markdown(a.out)
	case isTerminal(a.out):
		return rep.Table(a.out)
	}
	return rep.Plain(a.out)
}

func (c *benchCmd) options(a *app) bench.Options {
	o := bench.Defaults()
	if c.Quick {
		o.Rounds, o.Keys, o.Masters, o.Time = 1, 5000, 50, 100*time.Millisecond
	}
	o.Dir, o.Only, o.Durability, o.Prefix = c.Dir, c.Only, c.Durability, a.flags.Prefix
	given(&o.Rounds, c.Rounds)
	given(&o.Keys, c.Keys)
	given(&o.ValueSize, c.ValueSize)
	given(&o.Writers, c.Writers)
	given(&o.Masters, c.Masters)
	given(&o.Time, c.Time)
	if f := a.flags; f.outbound() {
		o.Connect = func(name string, opts ...nats.Option) (*nats.Conn, error) {
			return f.open(append(opts, nats.Name(cmp.Or(f.ConnectionName, "replicator bench "+name)), nats.RetryOnFailedConnect(false)))
		}
	}
	return o
}

func given[T any](option *T, flag *T) {
	if flag != nil {
		*option = *flag
	}
}

// A stepLine shows what runs, if somebody looks at a terminal.
type stepLine struct{ w io.Writer }

func newStepLine(w io.Writer) stepLine {
	if !isTerminal(w) {
		w = io.Discard
	}
	return stepLine{w}
}

const eraseLine = "\r\x1b[K"

func (l stepLine) show(s bench.Step) {
	what := s.Workload + ": data to begin with"
	if s.Round > 0 {
		what = fmt.Sprintf("%s, round %d: %s", s.Workload, s.Round, s.Contestant)
	}
	_, _ = fmt.Fprintf(l.w, "%s%d of %d  %s", eraseLine, s.Number, s.Of, what)
}

func (l stepLine) clear() { _, _ = io.WriteString(l.w, eraseLine) }

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
