package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"replicator"
)

// masters are nodes as users run them: the first in the process of the NATS server, the
// others clients of it.
type masters struct {
	broker  *broker
	nodes   []*replicator.Node
	buckets []*replicator.Bucket
	dirs    []string
	prefix  string
	joiners int // there have been
}

func (r *runner) masters(ctx context.Context) (*masters, error) {
	b, err := r.broker(ctx)
	return &masters{broker: b, prefix: r.prefix}, err
}

// open adds a node.
func (m *masters) open(ctx context.Context, dir, name string, d replicator.Durability) (*replicator.Bucket, error) {
	connect := m.broker.remote
	if len(m.nodes) == 0 {
		connect = m.broker.near
	}
	nc, err := connect(name, replicator.ConnectOptions(name, nil)...)
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, name)
	n, err := replicator.Open(ctx, replicator.Config{Node: name, Dir: dir, Conn: nc, Durability: d, Prefix: m.prefix})
	if err != nil {
		return nil, err
	}
	m.nodes, m.dirs = append(m.nodes, n), append(m.dirs, dir)
	b, err := n.Bucket(replicator.DefaultBucket)
	m.buckets = append(m.buckets, b)
	return b, err
}

// pair opens two masters that follow each other.
func (r *runner) pair(ctx context.Context, dir string, d replicator.Durability) (*masters, error) {
	m, err := r.masters(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"a", "b"} {
		if _, err := m.open(ctx, dir, name, d); err != nil {
			return nil, errors.Join(err, m.close())
		}
	}
	for i, b := range m.buckets {
		if _, err := b.Put(ctx, []byte("first of "+m.nodes[i].Name()), nil); err != nil {
			return nil, errors.Join(err, m.close())
		}
	}
	if err := m.settled(ctx); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

// settled returns once both have what both have written.
func (m *masters) settled(ctx context.Context) error {
	a, b := m.buckets[0], m.buckets[1]
	return await(ctx, "both masters have the same", func() bool {
		was := a.Clock()
		return len(was) > 0 && was.Equal(b.Clock())
	})
}

func (m *masters) close() error {
	var errs []error
	for i, n := range m.nodes {
		errs = append(errs, n.Close(), replicator.DropTicket(m.dirs[i]))
	}
	return errors.Join(append(errs, m.broker.close())...)
}

func putTo(ctx context.Context, b *replicator.Bucket) put {
	return func(key, value []byte) error {
		_, err := b.Put(ctx, key, value)
		return err
	}
}

// liveOurs counts what writers put at one master, or at both, until all is at both.
func (r *runner) liveOurs(d durability, writers int, both bool) func(context.Context, string) (values, error) {
	return func(ctx context.Context, dir string) (_ values, err error) {
		m, err := r.pair(ctx, dir, d.ours)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, m.close()) }()
		meter := startMeter()
		n, err := r.write(ctx, writers, 0, func(w int) put {
			if both {
				return putTo(ctx, m.buckets[w%2])
			}
			return putTo(ctx, m.buckets[0])
		})
		if err == nil {
			err = m.settled(ctx)
		}
		return meter.stop(n), err
	}
}

// probeOurs asks when a reader at the other master is told.
func (r *runner) probeOurs(d durability) func(context.Context, string) (values, error) {
	return func(ctx context.Context, dir string) (_ values, err error) {
		m, err := r.pair(ctx, dir, d.ours)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, m.close()) }()
		var p probes
		watching, stop := context.WithCancel(ctx)
		events := m.buckets[1].Watch(watching, replicator.WatchOptions{})
		ended := make(chan error, 1)
		go func() {
			for ev, err := range events {
				if err != nil {
					ended <- err
					return
				}
				if len(ev.Entry.Value) >= 8 {
					p.arrived(ev.Entry.Value)
				}
			}
			ended <- nil
		}()
		v, err := r.probe(ctx, &p, putTo(ctx, m.buckets[0]))
		stop()
		if werr := <-ended; err == nil && watching.Err() == nil {
			err = werr
		}
		return v, err
	}
}

// joinOurs counts an empty master that joins donor.
func (r *runner) joinOurs(donor **masters, keys int) func(context.Context, string) (values, error) {
	return func(ctx context.Context, dir string) (_ values, err error) {
		m := *donor
		m.joiners++ // a name of its own: it is no node that comes back
		want := m.buckets[0].Clock()
		meter := startMeter()
		b, err := m.open(ctx, dir, fmt.Sprintf("joiner-%d", m.joiners), replicator.DurabilityInterval)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, m.drop()) }()
		err = await(ctx, "the joiner has all", func() bool { return b.Clock().GE(want) })
		return meter.stop(keys), err
	}
}

// drop closes the node that was opened last.
func (m *masters) drop() error {
	i := len(m.nodes) - 1
	n, dir := m.nodes[i], m.dirs[i]
	m.nodes, m.buckets, m.dirs = m.nodes[:i], m.buckets[:i], m.dirs[:i]
	err := errors.Join(n.Close(), replicator.DropTicket(dir))
	m.broker.drop()
	return err
}

func (r *runner) donorOurs(ctx context.Context, dir string, keys int) (*masters, error) {
	m, err := r.masters(ctx)
	if err != nil {
		return nil, err
	}
	b, err := m.open(ctx, dir, "donor", replicator.DurabilityInterval)
	if err == nil {
		err = r.fill(ctx, keys, putTo(ctx, b))
	}
	if err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}
