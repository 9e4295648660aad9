package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// DefaultListen is where clients are served unless Options or the
	// configuration file say otherwise.
	DefaultListen = "127.0.0.1:4222"

	defaultLameDuck = 2 * time.Second
)

// ErrServerName reports a configuration file whose server_name is not the name
// asked for. A server bears the name of its node, for clients find the node of
// the server they are connected to by that name.
var ErrServerName = errors.New("server_name is not the node's name")

// Options tune a Server. The zero value serves clients on DefaultListen.
//
// A field set here beats the configuration file, with one exception: Name has
// to agree with the file's server_name, see ErrServerName.
type Options struct {
	// Name is the server's name, which is the name of its node. Default: the
	// file's server_name, else one the server makes up.
	Name string

	// Listen is host:port for clients; port 0 or -1 takes any free port.
	// Default: what ConfigFile says, else DefaultListen. A file which names a
	// port without a host listens where nats-server would: on all interfaces.
	Listen string

	// ConfigFile is a native nats-server configuration file. Default none.
	ConfigFile string

	// Join are addresses of one hub to be a leaf of, tried in turn:
	// nats-leaf://host:7422, nats-leaf+tls://, ws:// or wss://. The default
	// account is what is joined; a leaf of several hubs, or of another account,
	// is written as leafnodes.remotes in ConfigFile. Default none.
	Join []string

	// Credentials is a creds file that Join presents to the hub. Default none.
	Credentials string

	// MaxPayload is the largest message in bytes, headers included. Default:
	// what ConfigFile says, else the server's 1 MiB.
	MaxPayload int32

	// LameDuck is over how long Shutdown spreads the goodbye to the clients
	// still connected; negative says no goodbye. Default: what ConfigFile says,
	// else 2s.
	LameDuck time.Duration

	// Logger takes the server's log lines, with component=nats. Default none.
	Logger *slog.Logger
}

// ConfiguredName is the server_name a configuration file asks for, empty if it
// has none. A node without a name of its own can take it over.
func ConfiguredName(configFile string) (string, error) {
	opts, err := server.ProcessConfigFile(configFile)
	if err != nil {
		return "", fmt.Errorf("read nats-server config %s: %w", configFile, err)
	}
	return opts.ServerName, nil
}

// serverOptions are the server's own options: the file first, then o over it.
func (o Options) serverOptions() (*server.Options, error) {
	opts, err := server.ProcessConfigFile(o.ConfigFile)
	if err != nil {
		return nil, fmt.Errorf("read nats-server config %s: %w", o.ConfigFile, err)
	}
	if err := o.applyName(opts); err != nil {
		return nil, err
	}
	if err := o.applyListen(opts); err != nil {
		return nil, err
	}
	if err := o.applyJoin(opts); err != nil {
		return nil, err
	}
	if o.MaxPayload > 0 {
		opts.MaxPayload = o.MaxPayload
	}
	o.applyLameDuck(opts)
	opts.NoSigs = true
	opts.NoLog = true // keeps a reload from replacing our logger
	return opts, nil
}

func (o Options) applyName(opts *server.Options) error {
	if o.Name != "" && opts.ServerName != "" && o.Name != opts.ServerName {
		return fmt.Errorf("%s says %q, the node is %q: %w", o.ConfigFile, opts.ServerName, o.Name, ErrServerName)
	}
	if opts.ServerName == "" {
		opts.ServerName = o.Name
	}
	return nil
}

func (o Options) applyListen(opts *server.Options) error {
	listen := o.Listen
	switch {
	case listen != "":
	case opts.Port != 0:
		return nil
	case opts.Host != "":
		opts.Port = server.DEFAULT_PORT
		return nil
	default:
		listen = DefaultListen
	}
	host, port, err := splitListen(listen)
	if err != nil {
		return err
	}
	opts.Host, opts.Port = host, port
	return nil
}

// splitListen takes host:port apart; any free port is the server's -1.
func splitListen(listen string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("listen address %q: %w", listen, err)
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < -1 || port > 65535 {
		return "", 0, fmt.Errorf("listen address %q: port is not a number up to 65535", listen)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// applyLameDuck sets over how long clients are sent away. The server waits its
// grace period before it sends the first one away, so that period is a part.
func (o Options) applyLameDuck(opts *server.Options) {
	switch {
	case o.LameDuck > 0:
		opts.LameDuckDuration, opts.LameDuckGracePeriod = o.LameDuck, o.LameDuck/4
	case opts.LameDuckDuration == 0:
		opts.LameDuckDuration, opts.LameDuckGracePeriod = defaultLameDuck, defaultLameDuck/4
	}
}
