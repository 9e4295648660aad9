package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signals(context.Background())
	code := run(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// errSignal is the cause of a context that a signal ended.
var errSignal = errors.New("interrupted")

// signals ends ctx at the first SIGINT or SIGTERM, and the process at the
// second: whoever asks twice does not want to wait.
func signals(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ch
		cancel(errSignal)
		<-ch
		os.Exit(exitFailed)
	}()
	return ctx, func() { signal.Stop(ch) }
}

// A stdio is where a command reads and prints.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// An app is what every command is run with.
type app struct {
	stdio
	ctx   context.Context //nolint:containedctx // kong hands commands no context
	flags *globals
}

// exited carries the code of kong's own exits, after --help, up to run.
type exited int

func run(ctx context.Context, args []string, io stdio) (code int) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case exited:
			code = int(p)
		default:
			panic(p)
		}
	}()
	var c cli
	args = spelled(args)
	parser, err := newParser(&c, args, io)
	if err != nil {
		return report(io.err, usage(err), &c.globals)
	}
	if len(args) == 0 {
		_, _ = parser.Parse([]string{"--help"}) // leaves by exited
	}
	k, err := parser.Parse(args)
	if err != nil {
		return report(io.err, usage(plainParseError(err)), &c.globals)
	}
	if err := c.check(); err != nil {
		return report(io.err, err, &c.globals)
	}
	return report(io.err, k.Run(&app{stdio: io, ctx: ctx, flags: &c.globals}), &c.globals)
}

// spelled turns what people type out of habit into what the grammar has.
func spelled(args []string) []string {
	switch {
	case len(args) > 0 && args[0] == "help":
		return append(slices.Clone(args[1:]), "--help")
	case len(args) == 1 && args[0] == "--version":
		return []string{"version"}
	}
	return args
}

// plainParseError says where to read more.
func plainParseError(err error) error {
	command := "replicator"
	if p, ok := errors.AsType[*kong.ParseError](err); ok && p.Context != nil && p.Context.Selected() != nil {
		command = p.Context.Selected().FullPath()
	}
	text := strings.Replace(err.Error(), ` but got "EOL" (<EOL>)`, " after it", 1)
	return fmt.Errorf("%s; see %s --help", text, command)
}
