package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	awaitWithin = 5 * time.Minute // for what has been written to arrive
	look        = time.Millisecond
	probeEvery  = 5 * time.Millisecond // puts of a propagation: 200 a second
	probeKeys   = 100
)

// key makes a key of 20 bytes that is new for each i and lies anywhere.
func key(i uint64) []byte { return fmt.Appendf(nil, "key-%016x", i*0x9e3779b97f4a7c15) }

// noise is what values are cut from, for they must not compress.
var noise = sync.OnceValue(func() []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 1<<20+4096)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
})

// value is that of the key i. It must not be changed.
func (r *runner) value(i uint64) []byte {
	n := noise()
	at := int(i * 0x9e3779b97f4a7c15 % uint64(len(n)-r.ValueSize))
	return n[at : at+r.ValueSize : at+r.ValueSize]
}

// A meter takes the time and the processors' time of a run.
type meter struct {
	began time.Time
	cpu   time.Duration
}

func startMeter() meter {
	cpu, _ := cpuTime()
	return meter{began: time.Now(), cpu: cpu}
}

// stop returns how many records there were a second, and what one cost.
func (m meter) stop(records int) values {
	took := time.Since(m.began)
	v := values{"": float64(records) / took.Seconds()}
	if cpu, ok := cpuTime(); ok && records > 0 {
		v["cpu"] = float64((cpu - m.cpu).Nanoseconds()) / 1000 / float64(records)
	}
	return v
}

// A put writes one value.
type put func(key, value []byte) error

// write has so many writers put new keys for as long as a run takes. It returns how many
// there were. Writers number their keys from first on.
func (r *runner) write(ctx context.Context, writers int, first uint64, put func(writer int) put) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Time)
	defer cancel()
	var next atomic.Uint64
	next.Store(first)
	var group sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		group.Go(func() {
			put := put(w)
			for ctx.Err() == nil && errs[w] == nil {
				i := next.Add(1)
				errs[w] = put(key(i), r.value(i))
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return int(next.Load() - first), nil
}

// fill puts all keys of an initial sync, many at a time.
func (r *runner) fill(ctx context.Context, keys int, put put) error {
	const writers = 256
	var next atomic.Int64
	var group sync.WaitGroup
	var first atomic.Pointer[error]
	for range writers {
		group.Go(func() {
			for ctx.Err() == nil && first.Load() == nil {
				i := next.Add(1)
				if i > int64(keys) {
					return
				}
				if err := put(key(uint64(i)), r.value(uint64(i))); err != nil {
					first.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	group.Wait()
	if err := first.Load(); err != nil {
		return *err
	}
	return context.Cause(ctx)
}

// await looks until there is what is waited for.
func await(ctx context.Context, what string, there func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, awaitWithin, fmt.Errorf("not within %v: %s", awaitWithin, what))
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for !there() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Probes are values that say when they were put.
type probes struct {
	began time.Time
	sent  int

	mu   sync.Mutex // guards took
	took []time.Duration
}

// run puts probes, 200 a second for as long as a run takes, and waits for the last.
func (r *runner) probe(ctx context.Context, p *probes, put put) (values, error) {
	p.began = time.Now()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for end := p.began.Add(r.Time); time.Now().Before(end); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		value := make([]byte, r.ValueSize)
		copy(value, noise())
		binary.BigEndian.PutUint64(value, uint64(time.Since(p.began)))
		if err := put(key(uint64(p.sent%probeKeys)), value); err != nil {
			return nil, err
		}
		p.sent++
	}
	if err := await(ctx, "the last probes arrive", func() bool { return p.count() >= p.sent }); err != nil {
		return nil, err
	}
	return p.values(), nil
}

func (p *probes) arrived(value []byte) {
	took := time.Since(p.began) - time.Duration(binary.BigEndian.Uint64(value))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took = append(p.took, took)
}

func (p *probes) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.took)
}

func (p *probes) values() values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return middle(p.took)
}

// middle is the median of what took so long, in microseconds.
func middle(took []time.Duration) values {
	us := make([]float64, len(took))
	for i, d := range took {
		us[i] = float64(d.Nanoseconds()) / 1000
	}
	slices.Sort(us)
	return values{"": median(us)}
}
