package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"replicator/bus"
)

// ClientOptions tune a Client. The zero value is ready to use.
type ClientOptions struct {
	// Prefix stands before all subjects. Default bus.DefaultPrefix.
	Prefix string
	// Node is the node to speak to. Default: the node embedded in the server
	// the connection leads to, whose name is the server's, if it answers; else
	// the first ready one by name.
	Node string
	// Timeout is how long a request waits whose context has no deadline.
	// Default 5s.
	Timeout time.Duration
	// Silence is how long a stream may say nothing before its node counts as
	// gone. Default 15s.
	Silence time.Duration
	// Renew is how often the lease of a stream is renewed. Default 10s.
	Renew time.Duration
	// Inbox is the subject below which replies come. Default: one of the connection's
	// inbox prefix.
	Inbox string
	// FrameLimit is the largest message sent. Default 256 KiB.
	FrameLimit int
}

func (o ClientOptions) withDefaults() ClientOptions {
	setDefault(&o.Prefix, bus.DefaultPrefix)
	setDefault(&o.Timeout, 5*time.Second)
	setDefault(&o.Silence, 15*time.Second)
	setDefault(&o.Renew, 10*time.Second)
	setDefault(&o.FrameLimit, defaultFrame)
	return o
}

// A Client speaks to the nodes of one prefix. It may be used by many
// goroutines at once. Its replies come to one subscription of its own, below
// the inbox prefix of the connection.
type Client struct {
	nc       *nats.Conn
	opts     ClientOptions
	subjects bus.Subjects
	inbox    string
	sub      *nats.Subscription
	bodyID   atomic.Uint64

	assembler *bus.Assembler

	mu    sync.Mutex            // guards all below
	calls map[string]chan<- msg // who waits for replies, by the last token
	node  string                // the one found, while it answers
}

// A msg is one whole reply.
type msg struct {
	header nats.Header
	body   []byte
	err    error
}

// clientMemory bounds the replies being put together.
const clientMemory = 1 << 30

// ErrNoReplies reports that the user of a connection may not subscribe to replies:
// nothing can be asked.
var ErrNoReplies = errors.New("replies are not permitted to come")

// NewClient returns a client over nc, which stays the caller's. ErrNoReplies if the
// server does not let replies come: nats.CustomInboxPrefix says where it may.
func NewClient(nc *nats.Conn, o ClientOptions) (*Client, error) {
	o = o.withDefaults()
	if err := bus.ValidPrefix(o.Prefix); err != nil {
		return nil, err
	}
	if o.Node != "" {
		if err := bus.ValidNode(o.Node); err != nil {
			return nil, err
		}
	}
	c := &Client{
		nc: nc, opts: o, subjects: bus.Subjects{Prefix: o.Prefix}, inbox: cmp.Or(o.Inbox, nc.NewInbox()),
		calls: make(map[string]chan<- msg),
		assembler: bus.NewAssembler(bus.AssemblerOptions{
			MaxBody: MaxBody, MaxMemory: clientMemory, MaxAssemblies: 1 << 16,
		}),
	}
	c.bodyID.Store(rand.Uint64()) //nolint:gosec // told apart, not kept secret
	var err error
	if c.sub, err = nc.Subscribe(c.inbox+".*", c.deliver); err != nil {
		return nil, fmt.Errorf("subscribe to replies: %w", err)
	}
	if err := c.sub.SetPendingLimits(-1, clientMemory); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := c.heard(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// heard makes sure that replies will come: who sends a write without that does not
// hear what became of it. While the connection is away it cannot be known.
func (c *Client) heard() error {
	if !c.nc.IsConnected() {
		return nil
	}
	if err := c.nc.FlushTimeout(c.opts.Timeout); err != nil {
		return fmt.Errorf("subscribe to replies: %w", err)
	}
	if err := c.denied(); err != nil && strings.Contains(err.Error(), c.inbox) {
		return fmt.Errorf("%w: %w", ErrNoReplies, err)
	}
	return nil
}

// Close ends the client's subscription. Requests that wait run into their
// deadlines.
func (c *Client) Close() error {
	if err := c.sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, nats.ErrBadSubscription) {
		return err
	}
	return nil
}

// deliver hands each whole reply to the call that waits for it.
func (c *Client) deliver(m *nats.Msg) {
	token := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	c.mu.Lock()
	call := c.calls[token]
	c.mu.Unlock()
	if call == nil {
		return // its caller has left
	}
	got := msg{header: m.Header}
	body, done, err := c.assembler.Add(m.Subject, m.Data, time.Now())
	switch {
	case noResponders(m):
		got.err = nats.ErrNoResponders
	case err != nil:
		got.err = fmt.Errorf("damaged reply: %w", err)
	case !done:
		return
	}
	got.body = body
	select {
	case call <- got:
	default: // a stream whose reader sleeps: the next number tells it
	}
}

func noResponders(m *nats.Msg) bool {
	return len(m.Data) == 0 && m.Header.Get("Status") == "503"
}

// listen opens an address for replies, as far as queue messages may wait.
func (c *Client) listen(queue int) (reply string, replies <-chan msg, leave func()) {
	token := nuid.Next()
	ch := make(chan msg, queue)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[token] = ch
	return c.inbox + "." + token, ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.calls, token)
	}
}

// send publishes a request, in frames if it is large.
func (c *Client) send(ctx context.Context, subject, reply string, body []byte) error {
	if len(body) > MaxBody {
		return ErrTooLarge.With("the request has %d bytes, the limit is %d", len(body), MaxBody)
	}
	header := nats.Header{}
	if deadline, ok := ctx.Deadline(); ok {
		header.Set(HeaderTimeout, time.Until(deadline).Round(time.Millisecond).String())
	}
	setAfter(ctx, header)
	for frame := range bus.Frames(body, c.bodyID.Add(1), frameLimit(c.nc, c.opts.FrameLimit)) {
		m := &nats.Msg{Subject: subject, Reply: reply, Header: header, Data: frame}
		if err := c.nc.PublishMsg(m); err != nil {
			return fmt.Errorf("send request: %w", err)
		}
	}
	return nil
}

// call asks node for a verb and waits for the reply.
func (c *Client) call(ctx context.Context, bucket, node, verb string, body []byte) (msg, error) {
	ctx, cancel := c.withTimeout(ctx)
	defer cancel()
	reply, replies, leave := c.listen(4)
	defer leave()
	if err := c.send(ctx, c.subjects.API(bucket, node, verb), reply, body); err != nil {
		return msg{}, err
	}
	select {
	case m := <-replies:
		if m.err != nil {
			return msg{}, m.err
		}
		if e := readError(m.header, m.body); e != nil {
			return msg{}, e
		}
		return m, nil
	case <-ctx.Done():
		return msg{}, c.unanswered(ctx, verb, node)
	}
}

func (c *Client) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.opts.Timeout)
}

// unanswered says why no reply came: a server tells of a denied permission by
// the way only.
func (c *Client) unanswered(ctx context.Context, verb, node string) error {
	if err := c.denied(); err != nil {
		return fmt.Errorf("%s at %s: %w", verb, node, err)
	}
	return fmt.Errorf("%s at %s: no reply: %w", verb, node, context.Cause(ctx))
}

// silent says why a stream stays away: the server told the connection, not the
// request, if it does not permit it.
func (c *Client) silent(subject string) error {
	if err := c.denied(); err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	return fmt.Errorf("%s: %w", subject, ErrSilent)
}

func (c *Client) denied() error {
	if last := c.nc.LastError(); errors.Is(last, nats.ErrPermissionViolation) {
		return last
	}
	return nil
}

// ask calls the client's node, and looks for another if the one that was only
// found is gone. Nothing was done where nobody listened, so this is safe for
// writes too.
func (c *Client) ask(ctx context.Context, bucket, verb string, body []byte) (msg, error) {
	var m msg
	err := c.withNode(ctx, func(node string) (err error) {
		m, err = c.call(ctx, bucket, node, verb, body)
		return err
	})
	return m, err
}

func (c *Client) withNode(ctx context.Context, do func(node string) error) error {
	if c.opts.Node != "" {
		return c.named(c.opts.Node, do(c.opts.Node))
	}
	if node := c.guess(); node != "" {
		if err := do(node); !errors.Is(err, nats.ErrNoResponders) {
			c.keep(node)
			return err
		}
	}
	node, err := c.discover(ctx)
	if err != nil {
		return err
	}
	c.keep(node)
	return c.named(node, do(node))
}

// named says which node nobody answers for.
func (c *Client) named(node string, err error) error {
	if errors.Is(err, nats.ErrNoResponders) {
		c.keep("")
		return &NoNodeError{Node: node, Prefix: c.opts.Prefix}
	}
	return err
}

// guess returns the node found last, else the one whose server this may be.
func (c *Client) guess() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.node != "" {
		return c.node
	}
	if name := c.nc.ConnectedServerName(); bus.ValidNode(name) == nil {
		return name
	}
	return ""
}

func (c *Client) keep(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.node = node
}
