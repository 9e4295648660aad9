package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	readyWithin = 30 * time.Second
	readyLook   = 100 * time.Millisecond
)

// ErrNoConfigFile reports a reload of a server without a configuration file.
var ErrNoConfigFile = errors.New("nats-server runs without a configuration file")

// A Server is a running nats-server. Its methods may be called concurrently.
type Server struct {
	options Options
	srv     *server.Server
	log     *serverLog
	stop    func(context.Context) error
}

// Start starts a server and returns once it takes connections. An address
// which is taken is a *ListenError; a hub that cannot be reached is no error.
// ctx ends the start, not the server: that is what Shutdown is for.
func Start(ctx context.Context, o Options) (*Server, error) {
	opts, err := o.serverOptions()
	if err != nil {
		return nil, err
	}
	if err := checkListeners(ctx, opts); err != nil {
		return nil, err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("nats-server: %w", err)
	}
	s := &Server{options: o, srv: srv, log: newServerLog(o.Logger)}
	s.stop = stopOnce(s.shutdown)
	s.useLog(opts)
	srv.Start()
	if err := s.awaitReady(ctx); err != nil {
		s.halt()
		return nil, err
	}
	return s, nil
}

func (s *Server) useLog(opts *server.Options) {
	s.srv.SetLoggerV2(s.log, opts.Debug, opts.Trace, opts.TraceVerbose)
}

// awaitReady looks until the server has all its listeners, or one fatal error.
func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		ready := s.srv.ReadyForConnections(readyLook)
		select {
		case err := <-s.log.fatal:
			return err
		case <-ctx.Done():
			return fmt.Errorf("start nats-server: %w", context.Cause(ctx))
		default:
		}
		if ready {
			return nil
		}
	}
}

// Connect opens a connection that stays inside the process. The server's
// authentication applies to it as to any other; TLS does not.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	all := append([]nats.Option{nats.Name(s.Name())}, opts...)
	nc, err := nats.Connect("", append(all, nats.InProcessServer(inProcess{s.srv}))...)
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded nats-server: %w", err)
	}
	return nc, nil
}

// ClientURL is where clients on this host connect to.
func (s *Server) ClientURL() string {
	text := s.srv.ClientURL()
	u, err := url.Parse(text)
	if err != nil {
		return text
	}
	if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsUnspecified() {
		u.Host = net.JoinHostPort("127.0.0.1", u.Port())
	}
	return u.String()
}

// Name is the server's name.
func (s *Server) Name() string { return s.srv.Name() }

// NumLeafs counts the leaf connections that stand, to the hub and from leafs.
func (s *Server) NumLeafs() int { return s.srv.NumLeafNodes() }

// Reload reads the configuration file again, as SIGHUP does for nats-server.
// Nothing changes if the file has an error or asks for what only a restart can
// give. It is ErrNoConfigFile if there is none.
func (s *Server) Reload() error {
	if s.options.ConfigFile == "" {
		return ErrNoConfigFile
	}
	opts, err := s.options.serverOptions()
	if err != nil {
		return err
	}
	if err := s.srv.ReloadOptions(opts); err != nil {
		return fmt.Errorf("reload nats-server config: %w", err)
	}
	s.useLog(opts)
	return nil
}

// Shutdown tells the clients to go elsewhere, waits until they went or ctx
// ends, and stops the server. When it returns the server is down, also if the
// error says that ctx cut the goodbye short. Later calls return what the first
// one did.
func (s *Server) Shutdown(ctx context.Context) error { return s.stop(ctx) }

// stopOnce runs f for the first caller; all callers wait for it.
func stopOnce(f func(context.Context) error) func(context.Context) error {
	var once sync.Once
	var err error
	return func(ctx context.Context) error {
		once.Do(func() { err = f(ctx) })
		return err
	}
}

func (s *Server) shutdown(ctx context.Context) error {
	defer s.halt()
	if s.options.LameDuck < 0 {
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.srv.LameDuckShutdown()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.halt() // ends the lame duck, too
		<-done
		return fmt.Errorf("nats-server stopped before all clients had left: %w", context.Cause(ctx))
	}
}

// halt stops the server at once and waits for it.
func (s *Server) halt() {
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
}
