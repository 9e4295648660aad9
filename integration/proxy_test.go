package integration_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// A proxy is a cable that can be pulled, with a meter in it.
type proxy struct {
	listener net.Listener
	target   string
	down     atomic.Int64 // bytes from the target to who dialed
	up       atomic.Int64 // and back
	wg       sync.WaitGroup

	mu    sync.Mutex // guards all below
	conns map[net.Conn]bool
	apart bool
}

// startProxy listens for whoever wants to reach target, a host:port.
func startProxy(tb testing.TB, target string) *proxy {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	must(tb, err)
	p := &proxy{listener: l, target: target, conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	tb.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// cut breaks all connections and lets nobody through until heal.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.apart = true
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.apart = false
}

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.carry(near) })
	}
}

func (p *proxy) carry(near net.Conn) {
	defer near.Close() //nolint:errcheck // a cut cable
	if !p.keep(near) {
		return
	}
	defer p.drop(near)
	far, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer far.Close() //nolint:errcheck // a cut cable
	if !p.keep(far) {
		return
	}
	defer p.drop(far)
	var both sync.WaitGroup
	both.Go(func() { pump(near, far, &p.down) })
	both.Go(func() { pump(far, near, &p.up) })
	both.Wait()
}

func pump(to, from net.Conn, meter *atomic.Int64) {
	_, _ = io.Copy(io.MultiWriter(to, (*counter)(meter)), from)
	_ = to.Close()
	_ = from.Close()
}

type counter atomic.Int64

func (c *counter) Write(p []byte) (int, error) {
	(*atomic.Int64)(c).Add(int64(len(p)))
	return len(p), nil
}

// keep takes a connection on, unless the cable is pulled.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.apart {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}
