package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/nats-io/nats.go"

	"replicator/api"
	"replicator/oplog"
)

// The exit codes that scripts rely on.
const (
	exitDone      = 0
	exitFailed    = 1
	exitUsage     = 2
	exitNotFound  = 3
	exitBehind    = 4
	exitDivergent = 5
	exitRevision  = 6
)

// An exitError ends the program with a code; it prints nothing if Err is nil.
type exitError struct {
	Code int
	Err  error
}

func (e *exitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *exitError) Unwrap() error { return e.Err }

func usage(err error) error { return &exitError{Code: exitUsage, Err: err} }

// report prints the one line that err is worth and returns the exit code.
func report(w io.Writer, err error, flags *globals) int {
	if err == nil {
		return exitDone
	}
	e, coded := errors.AsType[*exitError](err)
	if coded && e.Err == nil {
		return e.Code
	}
	_, _ = fmt.Fprintln(w, "replicator: "+plainLine(explain(err, flags)))
	if coded {
		return e.Code
	}
	return exitCode(err)
}

func exitCode(err error) int {
	switch {
	case errors.Is(err, api.ErrNotFound):
		return exitNotFound
	case errors.Is(err, api.ErrBehind):
		return exitBehind
	case errors.Is(err, api.ErrExists), errors.Is(err, api.ErrRevision):
		return exitRevision
	case errors.Is(err, api.ErrBadKey), errors.Is(err, api.ErrBadBucket):
		return exitUsage
	}
	return exitFailed
}

// plainLine keeps an error on one line, without the names of our packages.
func plainLine(text string) string {
	for _, name := range []string{"replicator: ", "store: ", "bus: ", "oplog: "} {
		text = strings.TrimPrefix(text, name)
	}
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// explain says what went wrong and what to do about it.
func explain(err error, flags *globals) string {
	where := flags.where()
	if none, ok := errors.AsType[*api.NoNodeError](err); ok {
		return fmt.Sprintf("%s at %s; start one with: %s", none, where, serveLine(none, where))
	}
	if e, ok := errors.AsType[*api.Error](err); ok {
		return explainCode(err, e)
	}
	switch {
	case errors.Is(err, errSignal):
		return err.Error()
	case errors.Is(err, context.Canceled):
		return errSignal.Error()
	case refused(err):
		return fmt.Sprintf("%s refuses these credentials (%s); give others with --user, --token, --creds, --nkey or --context", where, err)
	case errors.Is(err, api.ErrNoReplies):
		return fmt.Sprintf("%s; nothing was sent: --inbox-prefix names the subject where this user may have replies, as replicator.apireply.NAME", err)
	case errors.Is(err, nats.ErrPermissionViolation):
		return fmt.Sprintf("%s; the NATS server does not permit this user to do so", err)
	case unreachable(err):
		return fmt.Sprintf("no NATS server answers at %s (%s); start a node with: replicator serve, or name a server with --server", where, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("%s; the node or the way to it is slow or gone, --timeout waits longer", err)
	}
	return err.Error()
}

// serveLine is the command that starts the node nobody found.
func serveLine(none *api.NoNodeError, where string) string {
	line := "replicator serve --server " + where
	if none.Node != "" {
		line += " --node " + none.Node
	}
	if none.Prefix != "replicator" {
		line += " --prefix " + none.Prefix
	}
	return line
}

func refused(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked)
}

func unreachable(err error) bool {
	var dial *net.OpError
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.As(err, &dial) && dial.Op == "dial"
}

func explainCode(err error, e *api.Error) string {
	switch e.Code {
	case api.ErrNoBucket.Code:
		return fmt.Sprintf("%s; replicator bucket lists those there are; bucket create, or put and import with --create, make one, or have the node hold what others have", err)
	case api.ErrRetired.Code:
		return fmt.Sprintf("%s; it is a member again after: replicator readmit NODE", err)
	case api.ErrMemberLive.Code:
		return fmt.Sprintf("%s; have it leave with: replicator leave NODE, or say --force", err)
	case api.ErrNotHandedOver.Code:
		return fmt.Sprintf("%s; --timeout waits longer, --now waits for nobody", err)
	case api.ErrReplica.Code:
		return fmt.Sprintf("%s; name a master with --node, replicator status --json lists them", err)
	case api.ErrFenced.Code:
		return fmt.Sprintf("%s; a stopped node gets another name with: replicator rename NEW --data DIR", err)
	}
	return err.Error()
}

// checkKey and checkBucket refuse before anything is connected to.

func checkKey(key []byte) error {
	switch {
	case len(key) == 0:
		return usage(errors.New("the key is empty"))
	case len(key) > oplog.MaxKey:
		return fmt.Errorf("the key has %d bytes, the limit is %d", len(key), oplog.MaxKey)
	}
	return nil
}

func checkBucket(name string) error {
	err := api.CheckBucket(name)
	if err != nil && oplog.ValidName(name) {
		err = fmt.Errorf("bucket name %q is reserved", name)
	}
	if err != nil {
		return usage(err)
	}
	return nil
}

// checkBuckets takes patterns, too.
func checkBuckets(pattern string) error {
	if strings.HasSuffix(pattern, "*") {
		if err := api.CheckBuckets(pattern); err != nil {
			return usage(err)
		}
		return nil
	}
	return checkBucket(pattern)
}

func checkNode(name string) error {
	err := api.CheckNode(name)
	if err != nil && oplog.ValidName(name) {
		err = fmt.Errorf("node name %q is reserved", name)
	}
	if err != nil {
		return usage(err)
	}
	return nil
}
