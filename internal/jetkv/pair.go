package jetkv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"replicator/embedded"
)

const (
	bucket      = "bench"
	stream      = "KV_" + bucket
	joinWithin  = 30 * time.Second
	look        = 2 * time.Millisecond
	maxInFlight = 4096 // of Fill
)

// Options say where a Pair keeps its data, and when it syncs.
type Options struct {
	Dir string
	// Always syncs after each write. Default: the servers' own interval, 2 minutes.
	Always bool
}

// A Pair is a hub with a bucket, and a leaf of it.
type Pair struct {
	hub, leaf  *embedded.Server
	nc, leafNC *nats.Conn
	kv         jetstream.KeyValue
	js, leafJS jetstream.JetStream
	mirrored   jetstream.Stream // nil until there is a mirror
}

// Start starts both servers and makes the bucket, which has no mirror yet.
func Start(ctx context.Context, o Options) (_ *Pair, err error) {
	p := &Pair{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("JetStream KV: %w", err), p.Close())
		}
	}()
	leafAddr, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	hubConfig := jetStreamConfig("hub", filepath.Join(o.Dir, "hub"), o.Always) + fmt.Sprintf("leafnodes { listen: %q }\n", leafAddr)
	if p.hub, p.nc, err = serve(ctx, o.Dir, "hub", hubConfig, nil); err != nil {
		return nil, err
	}
	leafConfig := jetStreamConfig("leaf", filepath.Join(o.Dir, "leaf"), o.Always)
	if p.leaf, p.leafNC, err = serve(ctx, o.Dir, "leaf", leafConfig, []string{"nats-leaf://" + leafAddr}); err != nil {
		return nil, err
	}
	if p.js, err = jetstream.New(p.nc, jetstream.WithPublishAsyncMaxPending(maxInFlight)); err != nil {
		return nil, err
	}
	if p.leafJS, err = jetstream.New(p.leafNC); err != nil {
		return nil, err
	}
	if err := p.awaitLeaf(ctx); err != nil {
		return nil, err
	}
	p.kv, err = p.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: bucket})
	return p, err
}

func jetStreamConfig(domain, dir string, always bool) string {
	lines := []string{fmt.Sprintf("domain: %q", domain), fmt.Sprintf("store_dir: %q", dir)}
	if always {
		lines = append(lines, "sync_interval: always")
	}
	return "jetstream {\n" + strings.Join(lines, "\n") + "\n}\n"
}

func serve(ctx context.Context, dir, name, config string, join []string) (*embedded.Server, *nats.Conn, error) {
	file := filepath.Join(dir, name+".conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, nil, err
	}
	s, err := embedded.Start(ctx, embedded.Options{Name: name, Listen: "127.0.0.1:0", ConfigFile: file, Join: join, LameDuck: -1})
	if err != nil {
		return nil, nil, err
	}
	nc, err := s.Connect()
	return s, nc, err
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// awaitLeaf returns once the leaf can ask the hub's JetStream.
func (p *Pair) awaitLeaf(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, joinWithin)
	defer cancel()
	js, err := jetstream.NewWithDomain(p.leafNC, "hub")
	if err != nil {
		return err
	}
	for {
		once, end := context.WithTimeout(ctx, time.Second)
		_, err := js.AccountInfo(once)
		end()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the leaf does not reach the hub: %w", errors.Join(context.Cause(ctx), err))
		case <-time.After(10 * look):
		}
	}
}

// Client returns a bucket at the hub over a connection of its own, as a client on the
// same host has it, and what closes it.
func (p *Pair) Client(ctx context.Context) (jetstream.KeyValue, func(), error) {
	nc, err := nats.Connect(p.hub.ClientURL())
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	kv, err := js.KeyValue(ctx, bucket)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return kv, nc.Close, nil
}

// Fill puts count values at the hub, many of them in flight.
func (p *Pair) Fill(ctx context.Context, count int, of func(int) (key string, value []byte)) error {
	for i := range count {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		key, value := of(i)
		if _, err := p.js.PublishAsync("$KV."+bucket+"."+key, value); err != nil {
			return err
		}
	}
	select {
	case <-p.js.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Mirror makes the mirror at the leaf. It does not wait for it to have anything.
func (p *Pair) Mirror(ctx context.Context) error {
	_, err := p.leafJS.CreateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: bucket, Mirror: &jetstream.StreamSource{Name: stream, Domain: "hub"},
	})
	if err != nil {
		return err
	}
	p.mirrored, err = p.leafJS.Stream(ctx, stream)
	return err
}

// DropMirror takes the mirror away again.
func (p *Pair) DropMirror(ctx context.Context) error { return p.leafJS.DeleteStream(ctx, stream) }

// Await returns once the mirror has all that the hub has now.
func (p *Pair) Await(ctx context.Context) error {
	source, err := p.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	want := source.CachedInfo().State.LastSeq
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		info, err := p.mirrored.Info(ctx)
		if err != nil {
			return err
		}
		if info.State.LastSeq >= want {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Watch tells of each value that reaches the mirror, until ctx ends.
func (p *Pair) Watch(ctx context.Context, told func(key string, value []byte)) (stop func(), err error) {
	kv, err := p.leafJS.KeyValue(ctx, bucket)
	if err != nil {
		return nil, err
	}
	w, err := kv.WatchAll(ctx, jetstream.UpdatesOnly())
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range w.Updates() {
			if e != nil {
				told(e.Key(), e.Value())
			}
		}
	}()
	return func() {
		_ = w.Stop() // it ends with the connection otherwise
		<-done
	}, nil
}

// Close ends both servers. What they wrote stays in the folder.
func (p *Pair) Close() error {
	var errs []error
	for _, nc := range []*nats.Conn{p.leafNC, p.nc} {
		if nc != nil {
			nc.Close()
		}
	}
	for _, s := range []*embedded.Server{p.leaf, p.hub} {
		if s != nil {
			errs = append(errs, s.Shutdown(context.Background()))
		}
	}
	return errors.Join(errs...)
}
