package embedded

import (
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// writeBehind is how many bytes a client may be ahead of the server.
	writeBehind = 64 << 10
	// closeWithin bounds how long Close waits for the server to read the rest.
	closeWithin = time.Second
)

// inProcess gives out connections to a server for nats.InProcessServer.
//
// The server's own are net.Pipe: without a buffer each write waits for its
// reader. A client whose CONNECT is refused is still writing its PING while
// the server is writing the refusal: both wait for the server's write deadline
// of 10s, and the client never reads why. So what the client writes goes
// through a buffer, as a socket would have one.
type inProcess struct{ srv *server.Server }

func (p inProcess) InProcessConn() (net.Conn, error) {
	pipe, err := p.srv.InProcessConn()
	if err != nil {
		return nil, err
	}
	return newBufferedConn(pipe), nil
}

// A bufferedConn writes to its Conn from a goroutine which ends with Close. An
// error of a write is returned by the next one.
type bufferedConn struct {
	net.Conn
	done chan struct{} // closed once the writer has returned

	mu      sync.Mutex // guards all below
	changed *sync.Cond // one of them did
	queue   []byte
	err     error
	closed  bool
}

func newBufferedConn(conn net.Conn) *bufferedConn {
	c := &bufferedConn{Conn: conn, done: make(chan struct{})}
	c.changed = sync.NewCond(&c.mu)
	go c.writeQueue()
	return c
}

func (c *bufferedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) >= writeBehind && c.err == nil && !c.closed {
		c.changed.Wait()
	}
	switch {
	case c.err != nil:
		return 0, c.err
	case c.closed:
		return 0, net.ErrClosed
	}
	c.queue = append(c.queue, p...)
	c.changed.Broadcast()
	return len(p), nil
}

// Close gives the server what is queued, then closes.
func (c *bufferedConn) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		_ = c.SetWriteDeadline(time.Now().Add(closeWithin)) // a pipe has deadlines
		c.changed.Broadcast()
	}
	c.mu.Unlock()
	<-c.done
	return c.Conn.Close()
}

func (c *bufferedConn) writeQueue() {
	defer close(c.done)
	var out []byte
	for {
		var more bool
		if out, more = c.take(out[:0]); !more {
			return
		}
		if _, err := c.Conn.Write(out); err != nil {
			c.fail(err)
			return
		}
	}
}

// take waits for bytes and exchanges the queue for an empty one. There are no
// more once the connection is closed.
func (c *bufferedConn) take(empty []byte) (out []byte, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) == 0 && !c.closed {
		c.changed.Wait()
	}
	out, c.queue = c.queue, empty
	c.changed.Broadcast()
	return out, len(out) > 0
}

func (c *bufferedConn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	c.changed.Broadcast()
}
