package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"replicator/internal/bareloop"
	"replicator/oplog"
)

// loops are bare loops, connected as masters are.
type loops struct {
	broker *broker
	nodes  []*bareloop.Node
	prefix string
}

func (r *runner) loops(ctx context.Context) (*loops, error) {
	b, err := r.broker(ctx)
	return &loops{broker: b, prefix: r.prefix}, err
}

// open adds a node that takes what its peers write.
func (l *loops) open(dir, name string, d bareloop.Durability, applied func(key, value []byte), peers ...string) (*bareloop.Node, error) {
	connect := l.broker.remote
	if len(l.nodes) == 0 {
		connect = l.broker.near
	}
	nc, err := connect(name)
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, name)
	if err := os.Mkdir(dir, 0o750); err != nil {
		return nil, err
	}
	n, err := bareloop.Start(bareloop.Config{
		Options: bareloop.Options{Node: name, Nonce: oplog.Nonce{1}, Epoch: 1 + uint64(len(l.nodes))},
		Dir:     dir, Conn: nc, Subject: l.prefix + ".loop", Durability: d, Peers: peers, Applied: applied,
	})
	if err == nil {
		l.nodes = append(l.nodes, n)
	}
	return n, err
}

func (r *runner) loopPair(ctx context.Context, dir string, d bareloop.Durability, applied func(key, value []byte)) (*loops, error) {
	l, err := r.loops(ctx)
	if err != nil {
		return nil, err
	}
	_, err = l.open(dir, "a", d, nil, "b")
	if err == nil {
		_, err = l.open(dir, "b", d, applied, "a")
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *loops) close() error {
	var errs []error
	for _, n := range l.nodes {
		errs = append(errs, n.Close())
	}
	return errors.Join(append(errs, l.broker.close())...)
}

// settled returns once each has what the other has written.
func (l *loops) settled(ctx context.Context) error {
	a, b := l.nodes[0], l.nodes[1]
	return await(ctx, "both loops have the same", func() bool {
		return b.Covers(a.Own()) == a.Covers(a.Own()) && a.Covers(b.Own()) == b.Covers(b.Own()) ||
			a.Failed() != nil || b.Failed() != nil // which closing tells
	})
}

func (r *runner) liveLoop(d durability, writers int, both bool) func(context.Context, string) (values, error) {
	return func(ctx context.Context, dir string) (_ values, err error) {
		l, err := r.loopPair(ctx, dir, d.loop, nil)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, l.close()) }()
		meter := startMeter()
		n, err := r.write(ctx, writers, 0, func(w int) put {
			if both {
				return l.nodes[w%2].Put
			}
			return l.nodes[0].Put
		})
		if err == nil {
			err = l.settled(ctx)
		}
		return meter.stop(n), err
	}
}

func (r *runner) probeLoop(d durability) func(context.Context, string) (values, error) {
	return func(ctx context.Context, dir string) (_ values, err error) {
		var p probes
		l, err := r.loopPair(ctx, dir, d.loop, func(_, value []byte) { p.arrived(value) })
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, l.close()) }()
		return r.probe(ctx, &p, l.nodes[0].Put)
	}
}

func (r *runner) donorLoop(ctx context.Context, dir string, keys int) (*loops, error) {
	l, err := r.loops(ctx)
	if err != nil {
		return nil, err
	}
	n, err := l.open(dir, "donor", bareloop.Interval, nil)
	if err == nil {
		err = r.fill(ctx, keys, n.Put)
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (r *runner) joinLoop(donor **loops, keys int, way bareloop.Way) func(context.Context, string) (values, error) {
	return func(ctx context.Context, dir string) (_ values, err error) {
		l := *donor
		from := l.nodes[0]
		meter := startMeter()
		n, err := l.open(dir, "joiner", bareloop.Interval, nil)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, l.drop()) }()
		if err := n.Pull(ctx, "donor", way); err != nil {
			return nil, err
		}
		v := meter.stop(keys)
		if n.Covers(from.Own()) != from.Covers(from.Own()) {
			return nil, fmt.Errorf("the joiner covers %d of %d writes", n.Covers(from.Own()), from.Covers(from.Own()))
		}
		return v, nil
	}
}

// drop closes the node that was opened last.
func (l *loops) drop() error {
	i := len(l.nodes) - 1
	n := l.nodes[i]
	l.nodes = l.nodes[:i]
	err := n.Close()
	l.broker.drop()
	return err
}
