package store_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"replicator/store"
)

var everyIO = flag.Bool("every-io", false, "fail each operation of TestEveryFailingIO in all four ways, not in one each")

// An ioWay is how an operation fails.
type ioWay struct {
	err    syscall.Errno
	sticky bool
}

// An ioFault fails one operation on a file system, or all from that one on.
type ioFault struct {
	ioWay
	at    int64 // the operation, counted from 1
	seen  atomic.Int64
	fired atomic.Value // string: what was failed first
}

func (f *ioFault) String() string {
	how := "once"
	if f.sticky {
		how = "from then on"
	}
	return fmt.Sprintf("operation %d (%v): %s %s", f.at, f.fired.Load(), f.err.Error(), how)
}

func (f *ioFault) wrap(fs vfs.FS) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		n := f.seen.Add(1)
		if n == f.at || f.at > 0 && n > f.at && f.sticky {
			f.fired.CompareAndSwap(nil, fmt.Sprint("kind ", int(op.Kind), " on ", op.Path))
			return f.err
		}
		return nil
	}))
}

// ioWays: with -every-io each operation fails in all of them, else they take turns.
var ioWays = []ioWay{{err: syscall.EIO}, {err: syscall.ENOSPC, sticky: true}, {err: syscall.ENOSPC}, {err: syscall.EIO, sticky: true}}

// TestEveryFailingIO fails the first, the second, ... operation on the file
// system in a store's life, as EIO and as ENOSPC, once and from then on. Each
// time the store goes on, or ends with an error that names the cause, or stops
// as documented, and after a power cut at that moment all it promised is there.
func TestEveryFailingIO(t *testing.T) {
	t.Cleanup(store.SetStallLimit(2 * time.Second))
	whole, l := &ioFault{}, newDiskLife()
	mem := vfs.NewCrashableMem()
	if err := l.live(whole.wrap(mem), true); err != nil {
		t.Fatal(err)
	}
	l.after(t, mem)
	if l.collected == 0 || l.reissued == 0 {
		t.Fatalf("%d tombstones collected, %d writes issued again: not all of a store's work", l.collected, l.reissued)
	}
	var ended tally
	var workers sync.WaitGroup
	points := make(chan *ioFault)
	for range 16 { // they mostly wait
		workers.Go(func() {
			for f := range points {
				t.Run(fmt.Sprint(f.at, " ", f.err.Error(), " ", f.sticky), func(t *testing.T) { ended.add(failIO(t, f)) })
			}
		})
	}
	total := whole.seen.Load()
	for at := int64(1); at <= total; at += ioStep {
		for i, way := range ioWays {
			if *everyIO || int64(i) == at%int64(len(ioWays)) {
				points <- &ioFault{ioWay: way, at: at}
			}
		}
	}
	close(points)
	workers.Wait()
	t.Logf("%d operations, failures: %v", total, &ended)
}

// An ioEnd is how a life with a fault ended.
type ioEnd int

const (
	unnoticed ioEnd = iota
	answered
	refused
	stopped
)

// A tally counts how failures ended.
type tally struct {
	mu   sync.Mutex // guards ends
	ends [stopped + 1]int
}

func (c *tally) add(e ioEnd) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends[e]++
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%d tried again below, %d of one call, %d of every call, the open or the close, %d read-only until opened again",
		c.ends[unnoticed], c.ends[answered], c.ends[refused], c.ends[stopped])
}

// failIO is one life with one fault, and what is left of it.
func failIO(t *testing.T, f *ioFault) ioEnd {
	t.Helper()
	mem, l := vfs.NewCrashableMem(), newDiskLife()
	end := make(chan error, 1)
	go func() { end <- l.live(f.wrap(mem), !f.sticky) }()
	var err error
	select {
	case err = <-end:
	case <-time.After(time.Minute):
		stacks := make([]byte, 1<<20)
		t.Fatalf("%v: the store hangs\n%s", f, stacks[:runtime.Stack(stacks, true)])
	}
	if err != nil && !errors.Is(err, f.err) {
		t.Errorf("%v: the error does not name it: %v", f, err)
	}
	rnd := rand.New(rand.NewPCG(uint64(f.at), 3))
	for _, kept := range []int{0, 1 + rnd.IntN(99), 100} {
		l.after(t, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: rnd}))
		if t.Failed() {
			t.Fatalf("%v, power cut then, %d %% of unsynced data kept", f, kept)
		}
	}
	switch {
	case err == nil && l.answered:
		return answered
	case err == nil:
		return unnoticed
	case l.stopped:
		return stopped
	default:
		return refused
	}
}
