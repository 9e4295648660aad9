package store

import (
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
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
	armed     atomic.Bool   // Pebble is open: file errors must not reach its WAL code
	done      chan struct{} // closed by set

	mu      sync.Mutex // guards all below
	err     error
	waits   int       // commits under way
	since   time.Time // since when some commit waits
	quiet   time.Time // until then reports are only counted
	skipped int
}

func newFailure(log *slog.Logger, onFailure func(error)) *failure {
	return &failure{log: log, onFailure: onFailure, done: make(chan struct{})}
}

func (f *failure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// set makes err the end of writing. Only the first one counts.
func (f *failure) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return
	}
	f.err = err
	close(f.done)
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
// again, but while a flush fails commits may wait for ever: then it is over.
func (f *failure) background(err error) {
	f.report("background work failed", err)
	f.mu.Lock()
	stalled := f.waits > 0 && time.Since(f.since) > stallLimit
	f.mu.Unlock()
	if stalled {
		f.set(fmt.Errorf("store: writes wait for %s: %w", stallLimit, err))
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
	err := fmt.Errorf("store: "+format, args...)
	l.failure.set(err)
	if calledFromHere() {
		panic(fatal{err})
	}
	runtime.Goexit()
}

var thisPackage = reflect.TypeFor[pebbleKV]().PkgPath() + "."

// calledFromHere reports whether a function of this package, other than the
// logger, is on the stack.
func calledFromHere() bool {
	pcs := make([]uintptr, 512)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		frame, more := frames.Next()
		name, ours := strings.CutPrefix(frame.Function, thisPackage)
		if ours && name != "calledFromHere" && !strings.HasPrefix(name, "(*pebbleLogger)") {
			return true
		}
		if !more {
			return false
		}
	}
}
