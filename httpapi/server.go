package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/semaphore"

	"replicator/api"
)

// Options tune a Server. The zero value serves loopback without a token.
type Options struct {
	// Token is what requests have to bring as "Authorization: Bearer TOKEN", but for
	// /healthz and /readyz. Empty: nothing, and the Host has to be a loopback name.
	Token string
	// TLS serves HTTPS. Its certificates are the caller's; nil: plain HTTP.
	TLS *tls.Config
	// Connections is how many connections are open at once; more wait in the
	// system's queue. Default 512.
	Connections int
	// BodyBytes bounds the bodies of the requests being worked on, and what they
	// make of them. Default 128 MiB.
	BodyBytes int64
	// Streams is how many watches and lists are open at once. Default 256.
	Streams int
	// Timeout is the longest a request is worked on; a client may ask for less in
	// the header Replicator-Timeout. Default 60s.
	Timeout time.Duration
	// Pace is how long a client may take over sending a body, and over taking what
	// was written, before it is left; and a second more for each 64 KiB. Default 30s.
	Pace time.Duration
	// Heartbeat is the longest silence on a watch. Default 15s.
	Heartbeat time.Duration
	// Logger takes what failed in the node. Default: nothing is logged.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	setDefault(&o.Connections, 512)
	setDefault(&o.BodyBytes, 128<<20)
	setDefault(&o.Streams, 256)
	setDefault(&o.Timeout, time.Minute)
	setDefault(&o.Pace, 30*time.Second)
	setDefault(&o.Heartbeat, 15*time.Second)
	setDefault(&o.Logger, slog.New(slog.DiscardHandler))
	return o
}

func setDefault[T comparable](field *T, def T) {
	var zero T
	if *field == zero {
		*field = def
	}
}

// ErrOpen reports a listener that others could reach, without a token or without
// TLS to keep the token secret.
var ErrOpen = errors.New("a listener beyond loopback wants a token and TLS")

// A Server answers HTTP for one node. It is an http.Handler; Serve adds the limits
// of connections. Its methods may be called concurrently.
type Server struct {
	opts     Options
	backend  api.Backend
	handlers *api.Handlers
	metrics  http.Handler
	bodies   *semaphore.Weighted
	streams  *semaphore.Weighted
	http     *http.Server
	stopping context.Context //nolint:containedctx // ends the streams
	stop     context.CancelFunc
	closing  sync.Once
}

// New returns a server that answers for b.
func New(b api.Backend, o Options) *Server {
	o = o.withDefaults()
	s := &Server{
		opts: o, backend: b, handlers: api.NewHandlers(b), metrics: metricsOf(b),
		bodies: semaphore.NewWeighted(o.BodyBytes), streams: semaphore.NewWeighted(int64(o.Streams)),
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler: s, TLSConfig: o.TLS, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	return s
}

// maxHeader has room for a key of 4 KiB with every byte in three.
const maxHeader = 32 << 10

// Listen opens the listener for addr, HOST:PORT. ErrOpen if others could reach it
// and o would not keep them out.
func Listen(ctx context.Context, addr string, o Options) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if !loopback(host) && (o.Token == "" || o.TLS == nil) {
		return nil, ErrOpen
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", addr)
}

// loopback reports whether only this host can reach it. An empty host is every
// address there is.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// Serve answers on l until Close, and closes it. It returns nil after Close.
func (s *Server) Serve(l net.Listener) error {
	l = netutil.LimitListener(l, s.opts.Connections)
	var err error
	if s.opts.TLS != nil {
		err = s.http.ServeTLS(l, "", "")
	} else {
		err = s.http.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close takes no more requests, ends the streams, and waits for the other requests
// until ctx ends; then their connections are cut.
func (s *Server) Close(ctx context.Context) error {
	s.closing.Do(s.stop)
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}
