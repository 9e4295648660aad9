package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"replicator/bus"
)

// ServiceName is the name of the micro service that every node is an instance of.
const ServiceName = "replicator"

// ServiceOptions tune a Service. The zero value is ready to use.
type ServiceOptions struct {
	// Prefix stands before all subjects. Default bus.DefaultPrefix.
	Prefix string
	// Metadata is added to what nats micro info shows: node and prefix.
	Metadata map[string]string
	// Concurrency is how many requests are worked on at once, streams left
	// out; more are answered with ErrOverloaded. Default 256.
	Concurrency int
	// RequestBytes bounds the bodies of the requests being worked on; one is
	// always let in. Default 64 MiB.
	RequestBytes int64
	// Streams is how many streams, watches and syncs, are open at once. Each
	// costs a queue and two goroutines. Default 256.
	Streams int
	// Timeout is the longest a request is worked on; a client may ask for less
	// in the header Replicator-Timeout. Default 60s.
	Timeout time.Duration
	// Heartbeat is the longest silence on a stream. Default 4s.
	Heartbeat time.Duration
	// Lease is how long a stream lives that its client does not renew. Default 30s.
	Lease time.Duration
	// Queue is how many events of a watch wait for a slow client. Default 4096.
	Queue int
	// FrameLimit gives the largest message to send now. What the own server
	// takes in one message lowers it. Default: 256 KiB.
	FrameLimit func() int
	// Logger takes what is dropped or refused. Default: nothing is logged.
	Logger *slog.Logger
}

// The defaults that clients rely on too.
const (
	defaultHeartbeat = 4 * time.Second
	defaultLease     = 30 * time.Second
	defaultFrame     = 256 << 10
	headerRoom       = 4 << 10 // kept free below max_payload, which counts headers
)

func (o ServiceOptions) withDefaults() ServiceOptions {
	setDefault(&o.Prefix, bus.DefaultPrefix)
	setDefault(&o.Concurrency, 256)
	setDefault(&o.RequestBytes, 64<<20)
	setDefault(&o.Streams, 256)
	setDefault(&o.Timeout, time.Minute)
	setDefault(&o.Heartbeat, defaultHeartbeat)
	setDefault(&o.Lease, defaultLease)
	setDefault(&o.Queue, 4096)
	setDefault(&o.Logger, slog.New(slog.DiscardHandler))
	if o.FrameLimit == nil {
		o.FrameLimit = func() int { return defaultFrame }
	}
	return o
}

func setDefault[T comparable](field *T, def T) {
	var zero T
	if *field == zero {
		*field = def
	}
}

// A Service answers for one node until Stop.
type Service struct {
	*Handlers

	nc       *nats.Conn
	opts     ServiceOptions
	subjects bus.Subjects
	log      *slog.Logger

	micro     micro.Service
	assembler *bus.Assembler
	bodyID    atomic.Uint64
	counts    counters
	status    statusCache

	slots   chan struct{}   // one taken by each request being worked on
	held    atomic.Int64    // bytes of their bodies
	ctx     context.Context //nolint:containedctx // the life of requests and streams, ended by Stop
	cancel  context.CancelCauseFunc
	streams streams

	mu       sync.Mutex // guards stopping, and working against a late Add
	stopping bool
	working  sync.WaitGroup
}

// NewService registers the service of b on nc and starts to answer.
func NewService(nc *nats.Conn, b Backend, o ServiceOptions) (*Service, error) {
	o = o.withDefaults()
	if err := bus.ValidNode(b.Name()); err != nil {
		return nil, err
	}
	if err := bus.ValidPrefix(o.Prefix); err != nil {
		return nil, err
	}
	s := &Service{
		Handlers: NewHandlers(b), nc: nc, opts: o,
		subjects:  bus.Subjects{Prefix: o.Prefix},
		log:       o.Logger,
		assembler: bus.NewAssembler(bus.AssemblerOptions{MaxBody: MaxBody, MaxMemory: 3 * MaxBody}),
		slots:     make(chan struct{}, o.Concurrency),
	}
	s.bodyID.Store(rand.Uint64()) //nolint:gosec // told apart, not kept secret
	s.streams.open = make(map[string]*stream)
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	if err := s.register(); err != nil {
		s.cancel(nil)
		return nil, err
	}
	return s, nil
}

func (s *Service) register() error {
	metadata := map[string]string{"node": s.backend.Name(), "prefix": s.opts.Prefix, "version": s.backend.Version(), "role": Role(s.backend.Replica())}
	maps.Copy(metadata, s.opts.Metadata)
	var err error
	s.micro, err = micro.AddService(s.nc, micro.Config{
		Name:         ServiceName,
		Version:      semVer(s.backend.Version()),
		Description:  "master-master key-value replication",
		Metadata:     metadata,
		StatsHandler: s.stats,
	})
	if err != nil {
		return fmt.Errorf("register micro service: %w", err)
	}
	if err := s.addEndpoints(); err != nil {
		_ = s.micro.Stop() // the first error tells more
		return err
	}
	return nil
}

func (s *Service) addEndpoints() error {
	node := s.backend.Name()
	verbs := s.table()
	verbs[verbWatch], verbs[verbSync] = s.ready(s.after(s.watch)), s.ready(s.sync)
	for verb, handle := range verbs {
		err := s.micro.AddEndpoint(verb, s.intake(handle),
			micro.WithEndpointSubject(s.subjects.APIAll(node, verb)),
			micro.WithEndpointQueueGroupDisabled())
		if err != nil {
			return fmt.Errorf("endpoint %s: %w", verb, err)
		}
	}
	anyone := anyVerbs
	if !s.backend.Replica() {
		anyone = slices.Concat(anyVerbs, masterVerbs)
	}
	for _, verb := range anyone {
		err := s.micro.AddEndpoint("any-"+verb, s.intake(verbs[verb]),
			micro.WithEndpointSubject(s.subjects.APIAll("any", verb)))
		if err != nil {
			return fmt.Errorf("endpoint any %s: %w", verb, err)
		}
	}
	return nil
}

// Stop takes no more requests, waits until ctx ends for those being worked on,
// and ends the streams. When it returns no goroutine of the service is left but
// those a Backend does not return from. It may be called twice.
func (s *Service) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	err := s.micro.Stop()
	s.streams.end(ErrStopping)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.working.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.cancel(ErrStopping)
		<-done
	}
	s.cancel(ErrStopping)
	if err != nil && !s.nc.IsClosed() {
		return fmt.Errorf("stop micro service: %w", err)
	}
	return nil
}

// run starts f as work that Stop waits for, unless the service is stopping.
func (s *Service) run(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.working.Go(f)
	return true
}

var semVerForm = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)([-+][0-9A-Za-z.+-]+)?$`)

// semVer returns version if micro will take it, else one that says nothing; the
// metadata tells the version as it is.
func semVer(version string) string {
	if len(version) > 0 && version[0] == 'v' {
		version = version[1:]
	}
	if !semVerForm.MatchString(version) {
		return "0.0.0"
	}
	return version
}

// counters tell what the service did. Micro's own counters see only that a
// request was taken in.
type counters struct {
	errors, overloaded, foreign atomic.Uint64
}

// A nodeStats is what nats micro stats shows beside the endpoint status.
type nodeStats struct {
	Node       string `json:"node"`
	Ready      bool   `json:"ready"`
	Buckets    int    `json:"buckets"`
	Keys       uint64 `json:"keys"`
	Lag        uint64 `json:"lag"` // writes that peers are known to lack
	Streams    int    `json:"streams"`
	Errors     uint64 `json:"errors"`
	Overloaded uint64 `json:"overloaded"`
	Foreign    uint64 `json:"foreign_reply"` // requests dropped for their reply subject
}

func (s *Service) stats(e *micro.Endpoint) any {
	if e.Name != "status" {
		return nil
	}
	st := s.status.get(s.ctx, s.backend)
	out := nodeStats{
		Node: st.Node, Ready: st.Ready, Buckets: len(st.Buckets), Streams: s.streams.count(),
		Errors: s.counts.errors.Load(), Overloaded: s.counts.overloaded.Load(), Foreign: s.counts.foreign.Load(),
	}
	for i := range st.Buckets {
		out.Keys += st.Buckets[i].Keys
		for _, p := range st.Buckets[i].Peers {
			if p.Behind != nil {
				out.Lag += *p.Behind
			}
		}
	}
	return out
}

// A statusCache keeps whoever asks for stats from asking the node each time.
type statusCache struct {
	mu   sync.Mutex // guards all below
	last Status
	at   time.Time
}

const statusAge = time.Second

func (c *statusCache) get(ctx context.Context, b Backend) Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.at) > statusAge {
		ctx, cancel := context.WithTimeout(ctx, statusAge)
		defer cancel()
		c.last, c.at = b.Status(ctx), now
	}
	return c.last
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("api: own body does not marshal: %v", err)) // an invariant of ours
	}
	return b
}
