package bench

import (
	"context"

	"github.com/nats-io/nats.go"

	"replicator/embedded"
)

// A broker is the NATS server of one run: an embedded one, or that of others.
type broker struct {
	server *embedded.Server // nil: that of others
	far    func(name string, opts ...nats.Option) (*nats.Conn, error)
	conns  []*nats.Conn
}

func (r *runner) broker(ctx context.Context) (*broker, error) {
	if r.Connect != nil {
		return &broker{far: r.Connect}, nil
	}
	s, err := embedded.Start(ctx, embedded.Options{Listen: "127.0.0.1:0", LameDuck: -1})
	if err != nil {
		return nil, err
	}
	return &broker{server: s, far: func(name string, opts ...nats.Option) (*nats.Conn, error) {
		return nats.Connect(s.ClientURL(), append(opts, nats.Name(name))...)
	}}, nil
}

// near connects as the program does whose server this is.
func (b *broker) near(name string, opts ...nats.Option) (*nats.Conn, error) {
	if b.server == nil {
		return b.remote(name, opts...)
	}
	return b.keep(b.server.Connect(opts...))
}

// remote connects over TCP.
func (b *broker) remote(name string, opts ...nats.Option) (*nats.Conn, error) {
	return b.keep(b.far(name, opts...))
}

func (b *broker) keep(nc *nats.Conn, err error) (*nats.Conn, error) {
	if err == nil {
		b.conns = append(b.conns, nc)
	}
	return nc, err
}

// drop closes the connection that was opened last.
func (b *broker) drop() {
	i := len(b.conns) - 1
	b.conns[i].Close()
	b.conns = b.conns[:i]
}

func (b *broker) close() error {
	for _, nc := range b.conns {
		nc.Close()
	}
	if b.server == nil {
		return nil
	}
	return b.server.Shutdown(context.Background())
}
