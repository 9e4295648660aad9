package bus

import (
	"fmt"
	"sync"
	"time"
)

// pieceCost is what the list entry and the allocation of one piece cost beside
// its bytes, so that a body sent in very small pieces is charged what it takes.
const pieceCost = 64

// AssemblerOptions tune an Assembler. The zero value is ready to use.
type AssemblerOptions struct {
	// MaxBody is the largest body taken. Default 24 MiB.
	MaxBody int
	// MaxAssemblies is how many unfinished bodies are held. Default 256.
	MaxAssemblies int
	// MaxPerSource is how many unfinished bodies one source may have. Default 4.
	MaxPerSource int
	// MaxMemory bounds the bytes of all unfinished bodies; one source may take
	// half of it, but always one whole body. Default 64 MiB.
	MaxMemory int
	// Timeout is the longest pause between two frames of a body, after which
	// the beginning is dropped. A slow sender that goes on is not cut off.
	// Default 30s.
	Timeout time.Duration
}

func (o AssemblerOptions) withDefaults() AssemblerOptions {
	o.MaxBody = orDefault(o.MaxBody, 24<<20)
	o.MaxAssemblies = orDefault(o.MaxAssemblies, 256)
	o.MaxPerSource = orDefault(o.MaxPerSource, 4)
	o.MaxMemory = orDefault(o.MaxMemory, 64<<20)
	o.Timeout = orDefault(o.Timeout, 30*time.Second)
	return o
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// An Assembler puts bodies that were cut by Frames together again. Frames of
// one body have to come in order, as NATS delivers them; frames of different
// bodies may be mixed. It allocates for bytes received, never for bytes
// promised. It may be used by many goroutines at once.
type Assembler struct {
	opts AssemblerOptions

	mu      sync.Mutex // guards all below
	open    map[assemblyKey]*assembly
	sources map[string]sourceUse
	memory  int
	sweep   time.Time // when it is worth looking for expired assemblies again
	expired uint64
}

type assemblyKey struct {
	source string
	id     uint64
}

type assembly struct {
	count, next uint32
	total, got  uint64
	pieces      [][]byte
	cost        int
	touched     time.Time
}

type sourceUse struct{ assemblies, memory int }

// NewAssembler returns an empty Assembler.
func NewAssembler(o AssemblerOptions) *Assembler {
	return &Assembler{
		opts:    o.withDefaults(),
		open:    make(map[assemblyKey]*assembly),
		sources: make(map[string]sourceUse),
	}
}

// Add takes one message from source, which is whatever tells senders apart: its
// subject, as a rule. A bare body is whole at once. Of a frame Add keeps the
// bytes, so the caller must not change body afterwards; done with the last
// frame, whole is the body, owned by the caller.
//
// An error (ErrBadFrame, ErrAssemblerFull, *TooLargeError) means that this
// message was refused. A repeated frame leaves its body intact; a frame that
// does not continue what came before drops it.
func (a *Assembler) Add(source string, body []byte, now time.Time) (whole []byte, done bool, err error) {
	if !isFrame(body) {
		if len(body) > a.opts.MaxBody {
			return nil, false, &TooLargeError{What: "body", Size: int64(len(body)), Limit: int64(a.opts.MaxBody)}
		}
		return body, true, nil
	}
	f, err := decodeFrame(body)
	if err != nil {
		return nil, false, err
	}
	if f.total > uint64(a.opts.MaxBody) {
		return nil, false, &TooLargeError{What: "body", Size: clampInt64(f.total), Limit: int64(a.opts.MaxBody)}
	}
	if f.count == 1 {
		return f.piece, true, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expire(now, false)
	return a.add(assemblyKey{source, f.id}, f, now)
}

func (a *Assembler) add(key assemblyKey, f frame, now time.Time) (whole []byte, done bool, err error) {
	as, err := a.find(key, f)
	if err != nil {
		return nil, false, err
	}
	if err := a.charge(key, as, len(f.piece)+pieceCost); err != nil {
		a.drop(key, as)
		return nil, false, err
	}
	as.pieces = append(as.pieces, f.piece)
	as.got += uint64(len(f.piece))
	as.next++
	as.touched = now
	if as.next < as.count {
		return nil, false, nil
	}
	a.drop(key, as)
	return as.whole(), true, nil
}

// find gives the assembly which f continues, or opens one for a first frame.
func (a *Assembler) find(key assemblyKey, f frame) (*assembly, error) {
	as := a.open[key]
	if as == nil {
		if f.index != 0 {
			return nil, fmt.Errorf("%w: frame %d of %d without a beginning", ErrBadFrame, f.index, f.count)
		}
		return a.begin(key, f)
	}
	if as.count == f.count && as.total == f.total && f.index < as.next {
		return nil, fmt.Errorf("%w: frame %d of %d again", ErrBadFrame, f.index, f.count)
	}
	if !as.continuedBy(f) {
		a.drop(key, as)
		return nil, fmt.Errorf("%w: frame %d of %d does not follow %d of %d", ErrBadFrame, f.index, f.count, as.next, as.count)
	}
	return as, nil
}

func (a *Assembler) begin(key assemblyKey, f frame) (*assembly, error) {
	use := a.sources[key.source]
	if len(a.open) >= a.opts.MaxAssemblies || use.assemblies >= a.opts.MaxPerSource {
		return nil, fmt.Errorf("%w: %d bodies open, %d from this source", ErrAssemblerFull, len(a.open), use.assemblies)
	}
	as := &assembly{count: f.count, total: f.total}
	use.assemblies++
	a.sources[key.source] = use
	a.open[key] = as
	return as, nil
}

// continuedBy holds the sum of the pieces against the promised total, so the
// last frame completes it exactly and every earlier one leaves room for the
// rest, which is at least a byte each.
func (as *assembly) continuedBy(f frame) bool {
	if f.count != as.count || f.total != as.total || f.index != as.next {
		return false
	}
	missing := as.total - as.got
	if f.index == f.count-1 {
		return uint64(len(f.piece)) == missing
	}
	return uint64(len(f.piece))+uint64(f.count-f.index-1) <= missing
}

func (as *assembly) whole() []byte {
	b := make([]byte, 0, as.got)
	for _, p := range as.pieces {
		b = append(b, p...)
	}
	return b
}

func (a *Assembler) charge(key assemblyKey, as *assembly, cost int) error {
	use := a.sources[key.source]
	if a.memory+cost > a.opts.MaxMemory {
		return fmt.Errorf("%w: %d bytes held", ErrAssemblerFull, a.memory)
	}
	if use.assemblies > 1 && use.memory+cost > a.opts.MaxMemory/2 {
		return fmt.Errorf("%w: %d bytes held of this source", ErrAssemblerFull, use.memory)
	}
	as.cost += cost
	a.memory += cost
	use.memory += cost
	a.sources[key.source] = use
	return nil
}

func (a *Assembler) drop(key assemblyKey, as *assembly) {
	delete(a.open, key)
	a.memory -= as.cost
	use := a.sources[key.source]
	use.assemblies--
	use.memory -= as.cost
	if use.assemblies == 0 {
		delete(a.sources, key.source)
		return
	}
	a.sources[key.source] = use
}

// Expire drops bodies whose next frame did not come in time, and tells how
// many. Add does so too; this is for a quiet time.
func (a *Assembler) Expire(now time.Time) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.expire(now, true)
}

// expire looks at all assemblies at most every quarter of the timeout unless
// told to, for Add calls it with every frame.
func (a *Assembler) expire(now time.Time, force bool) int {
	if !force && now.Before(a.sweep) {
		return 0
	}
	a.sweep = now.Add(a.opts.Timeout / 4)
	n := 0
	for key, as := range a.open {
		if now.Sub(as.touched) > a.opts.Timeout {
			a.drop(key, as)
			n++
		}
	}
	a.expired += uint64(n)
	return n
}

// AssemblerStats tell what an Assembler holds, and how many it gave up.
type AssemblerStats struct {
	Open, Memory int
	Expired      uint64
}

// Stats tells what a holds.
func (a *Assembler) Stats() AssemblerStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return AssemblerStats{Open: len(a.open), Memory: a.memory, Expired: a.expired}
}

func clampInt64(v uint64) int64 {
	return int64(min(v, 1<<63-1))
}
