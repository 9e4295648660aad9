package store

import (
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// A failure is the one-way switch of a pebbleKV: once set, nothing is written
// any more. It also keeps the log quiet while Pebble retries in a hot loop.
type failure struct {
	log       *slog.Logger
	onFailure func(error)
	limit     time.Duration // stallLimit
	stage     atomic.Int32
	done      chan struct{} // closed by set

	mu      sync.Mutex // guards all below
	err     error
	waits   int       // commits under way
	since   time.Time // since when some commit waits
	quiet   time.Time // until then reports are only counted
	skipped int
}

// stallLimit is how long a commit may wait for a Pebble that keeps failing to
// flush before the KV counts as failed. Tests wait less.
var stallLimit = 15 * time.Second

func newFailure(log *slog.Logger, onFailure func(error)) *failure {
	return &failure{log: log, onFailure: onFailure, limit: stallLimit, done: make(chan struct{})}
}

// The stages of a Pebble: they tell which file errors it can take.
const (
	// starting: it is being opened, and does nothing beside its caller.
	starting int32 = iota
	// recovering: it is being opened, and has begun to flush what it replayed.
	// An open that failed now would take away what a compaction or a count of
	// table statistics works with, and they would end the process.
	recovering
	running
	closing
)

func (f *failure) at(stage int32) bool     { return f.stage.Load() == stage }
func (f *failure) enter(stage int32)       { f.stage.Store(stage) }
func (f *failure) leave(stage, next int32) { f.stage.CompareAndSwap(stage, next) }

func (f *failure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// set makes err the end of writing. Only the first one counts. While the KV is
// being opened or closed, whoever does that is told.
func (f *failure) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return
	}
	f.err = err
	close(f.done)
	if !f.at(running) {
		return
	}
	f.log.Error("store failed, read-only until restart", "error", err)
	if f.onFailure != nil {
		go f.onFailure(err)
	}
}

// waiting counts the commits under way.
func (f *failure) waiting(delta int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waits == 0 {
		f.since = time.Now()
	}
	f.waits += delta
	if delta < 0 && f.waits > 0 {
		f.since = time.Now() // some commit got through
	}
}

// background hears of flushes and compactions that failed. Pebble tries them
// again, but while a flush fails commits may wait for ever, and so may the open
// of a store: then it is over.
func (f *failure) background(err error) {
	f.report("background work failed", err)
	if f.at(starting) || f.at(recovering) {
		f.set(err)
		return
	}
	f.mu.Lock()
	stalled := f.waits > 0 && time.Since(f.since) > f.limit
	f.mu.Unlock()
	if stalled {
		f.set(fmt.Errorf("store: writes wait for %s: %w", f.limit, err))
	}
}

// report logs at most one line in ten seconds.
func (f *failure) report(what string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Now().Before(f.quiet) {
		f.skipped++
		return
	}
	f.quiet = time.Now().Add(10 * time.Second)
	f.log.Error("store trouble", "what", what, "error", err, "not_shown", f.skipped)
	f.skipped = 0
}

// A pebbleLogger hears Pebble's own logger. Its Fatalf ends neither the process
// nor a caller: on a goroutine that came in through this package it panics, to
// be rescued there, on one of Pebble's own it ends that goroutine.
type pebbleLogger struct {
	failure *failure
}

// A pebbleError is what Pebble says that it cannot go on from.
type pebbleError struct {
	text  string
	cause error // nil if it names none
}

func (e *pebbleError) Error() string { return e.text }
func (e *pebbleError) Unwrap() error { return e.cause }

// fatal is what pebbleLogger panics with.
type fatal struct{ error }

var _ pebble.Logger = (*pebbleLogger)(nil)

// Infof implements pebble.Logger.
func (l *pebbleLogger) Infof(format string, args ...any) {
	l.failure.log.Debug("pebble", "text", fmt.Sprintf(format, args...))
}

// Errorf implements pebble.Logger.
func (l *pebbleLogger) Errorf(format string, args ...any) {
	l.failure.report("pebble", fmt.Errorf(format, args...))
}

// Fatalf implements pebble.Logger.
func (l *pebbleLogger) Fatalf(format string, args ...any) {
	err := &pebbleError{text: fmt.Sprintf("store: "+format, args...)}
	for _, a := range args {
		if cause, ok := a.(error); ok {
			err.cause = cause
		}
	}
	l.failure.set(err)
	if calledFromHere() {
		panic(fatal{err})
	}
	runtime.Goexit()
}

var calledByPebble = []string{"(*pebbleLogger)", "(*guardFS)", "(*guardFile)"}

var thisPackage = reflect.TypeFor[pebbleKV]().PkgPath() + "."

// calledFromHere reports whether a function of this package, other than those
// that Pebble calls, is on the stack.
func calledFromHere() bool {
	pcs := make([]uintptr, 512)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		frame, more := frames.Next()
		name, ours := strings.CutPrefix(frame.Function, thisPackage)
		receiver, _, _ := strings.Cut(name, ".")
		if ours && name != "calledFromHere" && !slices.Contains(calledByPebble, receiver) {
			return true
		}
		if !more {
			return false
		}
	}
}
