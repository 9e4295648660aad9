package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"replicator"
	"replicator/httpapi"
)

// httpEnd is how long requests over HTTP may go on when the node stops.
const httpEnd = 3 * time.Second

// A web is the listener of the data API over HTTP, and what answers there. A nil
// one does nothing.
type web struct {
	opts     httpapi.Options
	pair     *keyPair // nil: no TLS
	listener net.Listener
	server   *httpapi.Server
	log      *slog.Logger
	ended    chan struct{}
}

// A keyPair is a certificate that is renewed while the node runs.
type keyPair struct {
	cert, key string
	current   atomic.Pointer[tls.Certificate]
}

// load reads the files; if that fails, what there was stays.
func (p *keyPair) load() error {
	pair, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return fmt.Errorf("certificate for HTTPS: %w", err)
	}
	p.current.Store(&pair)
	return nil
}

func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.current.Load(), nil }

// reload reads the certificate again. It reports whether there is one.
func (w *web) reload() bool {
	if w == nil || w.pair == nil {
		return false
	}
	if err := w.pair.load(); err != nil {
		w.log.Error("certificate not reloaded, the one from before stays", "error", err)
	} else {
		w.log.Info("certificate for HTTPS reloaded")
	}
	return true
}

// listenHTTP opens the listener before anything else is started, so that an
// address that is taken costs nothing.
func (c *serveCmd) listenHTTP(ctx context.Context, log *slog.Logger) (*web, error) {
	if c.HTTP == "" {
		return nil, nil //nolint:nilnil // a web that does nothing
	}
	w := &web{opts: httpapi.Options{Token: c.HTTPToken, Logger: log}, log: log, ended: make(chan struct{})}
	if c.HTTPCert != "" {
		w.pair = &keyPair{cert: c.HTTPCert, key: c.HTTPKey}
		if err := w.pair.load(); err != nil {
			return nil, err
		}
		w.opts.TLS = &tls.Config{GetCertificate: w.pair.get, MinVersion: tls.VersionTLS12}
	}
	var err error
	if w.listener, err = httpapi.Listen(ctx, c.HTTP, w.opts); errors.Is(err, httpapi.ErrOpen) {
		return nil, usage(fmt.Errorf("--http %s: %w: --http-token, --http-cert and --http-key", c.HTTP, err))
	} else if err != nil {
		return nil, fmt.Errorf("--http: %w", err)
	}
	return w, nil
}

// checkHTTP refuses settings that belong together and came apart.
func (c *serveCmd) checkHTTP() error {
	switch {
	case c.HTTP == "" && (c.HTTPToken != "" || c.HTTPCert != "" || c.HTTPKey != ""):
		return usage(errors.New("--http-token, --http-cert and --http-key want --http"))
	case (c.HTTPCert == "") != (c.HTTPKey == ""):
		return usage(errors.New("--http-cert and --http-key go together"))
	case c.HTTP == "":
		return nil
	}
	if _, _, err := net.SplitHostPort(c.HTTP); err != nil {
		return usage(fmt.Errorf("--http %q: want HOST:PORT, as 127.0.0.1:8080", c.HTTP))
	}
	return nil
}

func (w *web) serve(n *replicator.Node) {
	if w == nil {
		return
	}
	w.server = httpapi.New(n.API(), w.opts)
	scheme := "http"
	if w.opts.TLS != nil {
		scheme = "https"
	}
	w.log.Info("data API over HTTP", "at", scheme+"://"+w.listener.Addr().String()+"/v1/")
	go func() {
		defer close(w.ended)
		if err := w.server.Serve(w.listener); err != nil {
			w.log.Error("the data API over HTTP has ended", "error", err)
		}
	}()
}

func (w *web) close() error {
	if w == nil {
		return nil
	}
	if w.server == nil {
		return w.listener.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), httpEnd)
	defer cancel()
	err := w.server.Close(ctx)
	<-w.ended
	if errors.Is(err, context.DeadlineExceeded) {
		w.log.Info("requests over HTTP were cut off")
		return nil
	}
	return err
}
