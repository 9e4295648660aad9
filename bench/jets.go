package bench

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"replicator/internal/jetkv"
)

// jetPair starts a hub and a leaf that mirrors its bucket, and has caught up.
func (r *runner) jetPair(ctx context.Context, dir string, always bool) (*jetkv.Pair, error) {
	p, err := jetkv.Start(ctx, jetkv.Options{Dir: dir, Always: always})
	if err != nil {
		return nil, err
	}
	err = p.Mirror(ctx)
	if err == nil {
		err = p.Fill(ctx, 1, func(int) (string, []byte) { return "first", nil })
	}
	if err == nil {
		err = p.Await(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func putJet(ctx context.Context, kv jetstream.KeyValue) put {
	return func(key, value []byte) error {
		_, err := kv.Put(ctx, string(key), value)
		return err
	}
}

// liveJet has each writer be a client of its own.
func (r *runner) liveJet(d durability, writers int) func(context.Context, string) (values, error) {
	return func(ctx context.Context, dir string) (_ values, err error) {
		p, err := r.jetPair(ctx, dir, d.always)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, p.Close()) }()
		clients := make([]jetstream.KeyValue, writers)
		for i := range clients {
			kv, end, err := p.Client(ctx)
			if err != nil {
				return nil, err
			}
			defer end()
			clients[i] = kv
		}
		meter := startMeter()
		n, err := r.write(ctx, writers, 0, func(w int) put { return putJet(ctx, clients[w]) })
		if err == nil {
			err = p.Await(ctx)
		}
		return meter.stop(n), err
	}
}

func (r *runner) probeJet(d durability) func(context.Context, string) (values, error) {
	return func(ctx context.Context, dir string) (_ values, err error) {
		p, err := r.jetPair(ctx, dir, d.always)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, p.Close()) }()
		var told probes
		stop, err := p.Watch(ctx, func(_ string, value []byte) { told.arrived(value) })
		if err != nil {
			return nil, err
		}
		defer stop()
		kv, end, err := p.Client(ctx)
		if err != nil {
			return nil, err
		}
		defer end()
		return r.probe(ctx, &told, putJet(ctx, kv))
	}
}

func (r *runner) donorJet(ctx context.Context, dir string, keys int) (*jetkv.Pair, error) {
	p, err := jetkv.Start(ctx, jetkv.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	err = p.Fill(ctx, keys, func(i int) (string, []byte) { return string(key(uint64(i + 1))), r.value(uint64(i + 1)) })
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// joinJet counts a new mirror.
func (r *runner) joinJet(donor **jetkv.Pair, keys int) func(context.Context, string) (values, error) {
	return func(ctx context.Context, _ string) (_ values, err error) {
		p := *donor
		meter := startMeter()
		if err := p.Mirror(ctx); err != nil {
			return nil, err
		}
		err = p.Await(ctx)
		v := meter.stop(keys)
		return v, errors.Join(err, p.DropMirror(ctx))
	}
}
