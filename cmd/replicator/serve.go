package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"replicator"
	"replicator/embedded"
	"replicator/oplog"
)

const (
	// stopLimit is how long a clean end may take before the process ends anyway.
	stopLimit = 20 * time.Second
	// lameDuck is over how long clients of the embedded server are sent away.
	lameDuck = 5 * time.Second
)

type serveCmd struct {
	dataFlag
	logFlags
	Node       string        `env:"REPLICATOR_NODE" help:"Name of the node. Default: the one kept in the store; a new store takes the host's and five random characters."`
	Listen     string        `placeholder:"HOST:PORT" env:"REPLICATOR_LISTEN" help:"Where the embedded NATS server takes clients (127.0.0.1:4222)."`
	Join       []string      `placeholder:"URL" env:"REPLICATOR_JOIN" help:"Hub the embedded NATS server is a leaf of, as nats-leaf://hub:7422."`
	NatsConfig string        `placeholder:"FILE" env:"REPLICATOR_NATS_CONFIG" help:"Native nats-server configuration for the embedded server. SIGHUP reads it again."`
	Bucket     []string      `short:"b" env:"REPLICATOR_BUCKETS" setting:"buckets" help:"Hold only these buckets: names, or with a * at the end all heard of that begin so. Default: every bucket heard of."`
	Codec      string        `enum:"msgpack,json" default:"msgpack" env:"REPLICATOR_CODEC" help:"How this node writes messages: ${enum}. It reads both."`
	Replica    bool          `env:"REPLICATOR_REPLICA" help:"Only follow: pull, take live writes, serve reads and other nodes, and never write. The data folder must be one that never wrote."`
	EvictAfter time.Duration `default:"30d" env:"REPLICATOR_EVICT_AFTER" help:"How long a node may be silent before deletes are forgotten without it. One that returns later compares all its rows with another's."`
	ScrubEvery time.Duration `default:"24h" env:"REPLICATOR_SCRUB_EVERY" help:"How often all rows are read in the background and compared with their hashes."`
	Ambiguous  string        `enum:"keep,delete,park" default:"keep" env:"REPLICATOR_AMBIGUOUS" help:"What becomes of a value that may be older than a forgotten delete: ${enum}. It is written again; or deleted; or deleted, and listed by conflicts."`
	Durability string        `enum:"sync,interval" default:"sync" env:"REPLICATOR_DURABILITY" help:"When a write is answered: ${enum}. After its fsync, or at once."`

	HTTP      string `name:"http" placeholder:"HOST:PORT" env:"REPLICATOR_HTTP" help:"Where the data API is served over HTTP, as 127.0.0.1:8080. Default: nowhere."`
	HTTPToken string `name:"http-token" env:"REPLICATOR_HTTP_TOKEN" help:"What HTTP requests have to bring as Authorization: Bearer TOKEN. Wanted beyond loopback."`
	HTTPCert  string `name:"http-cert" placeholder:"FILE" env:"REPLICATOR_HTTP_CERT" help:"Certificate chain for HTTPS, PEM. Wanted beyond loopback. SIGHUP reads it again."`
	HTTPKey   string `name:"http-key" placeholder:"FILE" env:"REPLICATOR_HTTP_KEY" help:"Its private key, PEM."`

	EvictReplicasAfter time.Duration `default:"24h" env:"REPLICATOR_EVICT_REPLICAS_AFTER" help:"How long a replica may be silent before deletes are forgotten without it."`
}

// Help implements kong.HelpProvider.
func (serveCmd) Help() string {
	return `Examples:

    replicator serve
    replicator serve --server nats://127.0.0.1:4222 --node b --data ./replicator-data-b
    replicator serve --join nats-leaf://hub:7422 --listen 127.0.0.1:4222
    replicator serve --nats-config nats.conf
    replicator serve --replica --server nats://hub:4222 --data ./replica-data
    replicator serve --http 127.0.0.1:8080

With --server, NATS_URL, --context or NATS_CONTEXT the node is a client of that NATS server, and works alone while it is away. Else it starts one of its own in the same process. SIGTERM ends it cleanly, a second one at once.`
}

func (c *serveCmd) check(flags *globals) error {
	if c.Node != "" {
		if err := checkNode(c.Node); err != nil {
			return err
		}
	}
	for _, name := range c.Bucket {
		if err := checkBuckets(name); err != nil {
			return err
		}
	}
	if err := c.checkHTTP(); err != nil {
		return err
	}
	if c.EvictAfter <= 0 {
		return usage(fmt.Errorf("--evict-after %v: want a time above 0", c.EvictAfter))
	}
	for _, hub := range c.Join {
		if err := embedded.CheckJoin(hub); err != nil {
			return usage(err)
		}
	}
	if _, _, err := net.SplitHostPort(c.Listen); c.Listen != "" && err != nil {
		return usage(fmt.Errorf("--listen %q: want HOST:PORT, as 127.0.0.1:4222", c.Listen))
	}
	if own := c.ownServer(); own != "" && flags.outbound() {
		return usage(fmt.Errorf("%s is for the embedded NATS server, which is not started because --server, --context, NATS_URL or NATS_CONTEXT is set", own))
	}
	return nil
}

// ownServer names a flag that only the embedded server can serve.
func (c *serveCmd) ownServer() string {
	switch {
	case c.Listen != "":
		return "--listen"
	case len(c.Join) > 0:
		return "--join"
	case c.NatsConfig != "":
		return "--nats-config"
	}
	return ""
}

// Run runs the node until a signal.
func (c *serveCmd) Run(a *app) error {
	if err := c.check(a.flags); err != nil {
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	log, held := c.logger(a.err)
	s := &serving{cmd: c, app: a, log: log}
	if err := s.start(a.ctx); err != nil {
		return errors.Join(c.explain(err, a.flags), s.stop())
	}
	held.release()
	s.tellReady()
	s.await(a.ctx, hup)
	log.Info("stopping")
	defer time.AfterFunc(stopLimit, func() { os.Exit(exitFailed) }).Stop()
	if err := s.stop(); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// serving are the parts of a running node.
type serving struct {
	cmd    *serveCmd
	app    *app
	log    *slog.Logger
	server *embedded.Server // nil: the node connects out
	nc     *nats.Conn
	node   *replicator.Node
	web    *web // nil: nothing is served over HTTP
}

func (s *serving) start(ctx context.Context) error {
	name, err := s.cmd.name()
	if err != nil {
		return err
	}
	if s.web, err = s.cmd.listenHTTP(ctx, s.log); err != nil {
		return err
	}
	if err := s.connect(ctx, name); err != nil {
		return err
	}
	s.node, err = replicator.Open(ctx, replicator.Config{
		Node: name, Dir: s.cmd.Data, Conn: s.nc, Buckets: s.cmd.Bucket, Codec: oplog.Codec(s.cmd.Codec),
		Durability: replicator.Durability(s.cmd.Durability), Prefix: s.app.flags.Prefix, Version: version(), Logger: s.log,
		EvictAfter: s.cmd.EvictAfter, EvictReplicasAfter: s.cmd.EvictReplicasAfter, Replica: s.cmd.Replica,
		Ambiguous: replicator.AmbiguousPolicy(s.cmd.Ambiguous), ScrubEvery: s.cmd.ScrubEvery,
	})
	if err == nil {
		s.web.serve(s.node)
	}
	return err
}

// name is the node's, looked up before a server is named after it. That also
// finds a folder that somebody has open before anything else is started.
func (c *serveCmd) name() (string, error) {
	kept, err := replicator.NodeName(c.Data)
	if err != nil {
		return "", err
	}
	if c.Node == "" && c.NatsConfig != "" {
		configured, err := embedded.ConfiguredName(c.NatsConfig)
		if err != nil {
			return "", err
		}
		return cmp.Or(configured, kept), nil
	}
	return cmp.Or(c.Node, kept), nil
}

func (s *serving) connect(ctx context.Context, name string) error {
	f := s.app.flags
	opts := replicator.ConnectOptions(cmp.Or(f.ConnectionName, "replicator "+name+" "+version()), s.log)
	var err error
	if f.outbound() {
		s.nc, err = f.open(append(opts, nats.ReconnectErrHandler(s.logFailures(f.where()))))
		return err
	}
	s.server, err = embedded.Start(ctx, embedded.Options{
		Name: name, Listen: s.cmd.Listen, ConfigFile: s.cmd.NatsConfig, Join: s.cmd.Join,
		Credentials: f.Creds, LameDuck: lameDuck, Logger: s.log,
	})
	if err != nil {
		return err
	}
	auth, err := f.auth()
	if err != nil {
		return err
	}
	// The own server is there: what keeps the node out now would keep it out for ever.
	opts = append(append(opts, auth...), nats.RetryOnFailedConnect(false), nats.ReconnectErrHandler(s.logFailures(s.server.ClientURL())))
	s.nc, err = s.server.Connect(opts...)
	if errors.Is(err, nats.ErrAuthorization) {
		return errors.New("the embedded NATS server does not let its own node in: the configuration has users; name one with --user and --password, --creds or --nkey")
	}
	return err
}

// logFailures tells why the server cannot be reached, once for each reason.
func (s *serving) logFailures(server string) nats.ConnErrHandler {
	last := ""
	return func(nc *nats.Conn, err error) {
		if nc.IsConnected() || err == nil || err.Error() == last {
			return
		}
		last = err.Error()
		s.log.Warn("NATS server not reached, the node works alone and tries again",
			"server", server, "error", explainRefusal(err))
	}
}

func explainRefusal(err error) string {
	if errors.Is(err, nats.ErrAuthorization) {
		return err.Error() + ": other credentials are needed"
	}
	return err.Error()
}

func (s *serving) tellReady() {
	at := s.app.flags.where()
	if s.server != nil {
		at = s.server.ClientURL()
	} else if !s.nc.IsConnected() {
		s.log.Warn("NATS server not reached yet, the node works alone and tries again", "server", at)
	}
	s.log.Info("node started", "node", s.node.Name(), "version", version(), "server", at, "data", s.cmd.Data)
}

// await returns at the first signal that ends the node, or once it has left.
func (s *serving) await(ctx context.Context, hup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.node.Left():
			return
		case <-hup:
			s.reload()
		}
	}
}

func (s *serving) reload() {
	renewed := s.web.reload()
	if s.server == nil || s.cmd.NatsConfig == "" {
		if !renewed {
			s.log.Info("nothing to reload, there is no --nats-config and no --http-cert")
		}
		return
	}
	if err := s.server.Reload(); err != nil {
		s.log.Error("nats-server configuration not reloaded", "error", err)
		return
	}
	s.log.Info("nats-server configuration reloaded")
}

// stop ends what was started, from the node outwards.
func (s *serving) stop() error {
	errs := []error{s.web.close()}
	if s.node != nil {
		errs = append(errs, s.node.Close())
	}
	if s.nc != nil {
		s.nc.Close()
	}
	if s.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), lameDuck)
		defer cancel()
		if err := s.server.Shutdown(ctx); err != nil {
			s.log.Info("clients were cut off", "error", err)
		}
	}
	return errors.Join(errs...)
}

// explain adds the remedy to what keeps a node from starting.
func (c *serveCmd) explain(err error, flags *globals) error {
	listen, refused := errors.AsType[*embedded.ListenError](err)
	switch {
	case refused && errors.Is(err, syscall.EADDRINUSE) && listen.For == "clients":
		return fmt.Errorf("%s is in use; if a master has it, run a second one on this host with: %s",
			listen.Addr, c.second(urlOf(listen.Addr), cmp.Or(c.Node, "b")))
	case refused:
		return fmt.Errorf("%w; choose another address", err)
	case errors.Is(err, embedded.ErrServerName):
		return fmt.Errorf("%w; give the node that name with --node, or take it out of the file", err)
	case isA[*replicator.LockedError](err):
		server := nats.DefaultURL
		if flags.outbound() {
			server = flags.where()
		}
		return fmt.Errorf("%w; a second master on this host: %s", err, c.second(server, otherThan(c.Node)))
	case errors.Is(err, replicator.ErrHasWritten):
		return fmt.Errorf("%w; start it without --replica; once replicator verify says equal, a replica can start with an empty folder: --data ./replica-data", err)
	case isA[*replicator.NodeNameError](err):
		return fmt.Errorf("%s %s; renaming is: replicator rename %s --data %s", c.Data, plainLine(err.Error()), c.Node, c.Data)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w; --data has to be a folder that this user may write to", err)
	}
	return err
}

// second is the command for a second master on this host.
func (c *serveCmd) second(server, node string) string {
	return fmt.Sprintf("replicator serve --server %s --node %s --data ./replicator-data-%s", server, node, node)
}

// urlOf is where clients on this host reach a server that listens there.
func urlOf(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nats.DefaultURL
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "nats://" + net.JoinHostPort(host, port)
}

func otherThan(node string) string {
	if node == "b" {
		return "c"
	}
	return "b"
}

// isA reports whether err is, or wraps, an E.
func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
