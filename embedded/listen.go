package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
)

// A ListenError reports an address the server could not have, most often
// because another process has it.
type ListenError struct {
	For  string // who is served there: clients, leaf nodes, ...
	Addr string // host:port
	Err  error  // the cause, such as syscall.EADDRINUSE
}

func (e *ListenError) Error() string {
	return fmt.Sprintf("listen for %s on %s: %v", e.For, e.Addr, e.Err)
}

func (e *ListenError) Unwrap() error { return e.Err }

func newListenError(purpose, addr string, err error) *ListenError {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // the rest repeats the address
	}
	return &ListenError{For: purpose, Addr: addr, Err: err}
}

// A listener is one of the addresses a server will listen on.
type listener struct {
	purpose string
	host    string
	port    int
}

func (l listener) addr() string { return net.JoinHostPort(l.host, strconv.Itoa(l.port)) }

func listeners(opts *server.Options) []listener {
	monitor := cmp.Or(opts.HTTPHost, opts.Host)
	return []listener{
		{"clients", opts.Host, opts.Port},
		{"leaf nodes", opts.LeafNode.Host, opts.LeafNode.Port},
		{"cluster routes", opts.Cluster.Host, opts.Cluster.Port},
		{"gateways", opts.Gateway.Host, opts.Gateway.Port},
		{"websockets", opts.Websocket.Host, opts.Websocket.Port},
		{"mqtt", opts.MQTT.Host, opts.MQTT.Port},
		{"monitoring", monitor, opts.HTTPPort},
		{"monitoring", monitor, opts.HTTPSPort},
	}
}

// checkListeners takes every fixed address once and gives it back, so that a
// busy one is found before the server has started anything.
func checkListeners(ctx context.Context, opts *server.Options) error {
	var lc net.ListenConfig
	for _, l := range listeners(opts) {
		if l.port <= 0 {
			continue // not wanted, or any free port
		}
		taken, err := lc.Listen(ctx, "tcp", l.addr())
		if err != nil {
			return newListenError(l.purpose, l.addr(), err)
		}
		defer taken.Close() //nolint:errcheck // all are held until all are checked; nothing was accepted
	}
	return nil
}
