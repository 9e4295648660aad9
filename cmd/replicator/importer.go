package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"replicator/api"
)

const (
	importBytes   = 160 << 10             // of one load: it fits one message
	importKeys    = 1000                  // of one load
	importLoads   = 8                     // in flight at once
	importTimeout = time.Minute           // for one load, unless --timeout says more
	importPause   = 50 * time.Millisecond // before an overloaded node is asked again; doubles
)

// A tally is what an import did. It is what --json prints.
type tally struct {
	Node      string  `json:"node"`
	Written   int     `json:"written"`
	Unchanged int     `json:"unchanged"`
	Bad       int     `json:"bad"`
	Seconds   float64 `json:"seconds"`
}

// A loader takes one load, as api.Client does.
type loader interface {
	Load(ctx context.Context, bucket string, lines []byte, o api.LoadOptions) (api.LoadResult, error)
}

// A records hands out records, one after the other.
type records interface {
	// next returns the next record, a *recordError for one that cannot be
	// written, after which the next can be read, or io.EOF.
	next() (api.Record, error)
	// last tells of the record before: the number of its line, 0 if it was in
	// none, and by how much it moves the meter.
	last() (number, size int)
}

// A recordError says which record cannot be written.
type recordError struct {
	Where string
	Err   error
}

func (e *recordError) Error() string { return e.Where + ": " + e.Err.Error() }

func (e *recordError) Unwrap() error { return e.Err }

func isRecordError(err error) bool {
	_, ok := errors.AsType[*recordError](err)
	return ok
}

// An importer gathers records into loads and keeps several of them in flight.
//
// Loads overtake each other. So that the last line of a key wins, a key is
// never in two loads at once, nor twice in one.
type importer struct {
	loader  loader
	bucket  string
	options api.LoadOptions
	skipBad bool
	bad     func(error) // told of each bad record that is skipped
	timeout time.Duration

	ctx     context.Context //nolint:containedctx // of one import, from newImporter to finish
	cancel  context.CancelCauseFunc
	slots   chan struct{}
	loads   sync.WaitGroup
	current *load

	mu     sync.Mutex // guards all below
	flying map[string]bool
	tally  tally
}

// A load is one request being gathered or in flight.
type load struct {
	lines   []byte
	keys    []string
	numbers []int // of the lines; 0 is none
}

// where names one record of the load.
func (l *load) where(i int) string {
	if l.numbers[i] > 0 {
		return lineName(l.numbers[i])
	}
	return keyName([]byte(l.keys[i]))
}

func newImporter(ctx context.Context, l loader, bucket string, o api.LoadOptions) *importer {
	im := &importer{
		loader: l, bucket: bucket, options: o, bad: func(error) {}, timeout: importTimeout,
		slots: make(chan struct{}, importLoads), current: &load{}, flying: map[string]bool{},
	}
	im.ctx, im.cancel = context.WithCancelCause(ctx)
	return im
}

// read imports all records. The tally counts what was done, also beside an error.
func (im *importer) read(from records, step func(size int)) (tally, error) {
	begun := time.Now()
	err := im.readAll(from, step)
	if err == nil || isRecordError(err) {
		im.flush()
	}
	im.loads.Wait()
	if cause := context.Cause(im.ctx); cause != nil && !isRecordError(err) {
		err = cause
	}
	im.cancel(nil)
	im.tally.Seconds = time.Since(begun).Seconds()
	return im.tally, err
}

func (im *importer) readAll(from records, step func(size int)) error {
	for im.ctx.Err() == nil {
		r, err := from.next()
		number, size := from.last()
		step(size)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case isRecordError(err) && im.skipBad:
			im.skip(err)
		case err != nil:
			return err
		default:
			im.add(&r, number)
		}
	}
	return context.Cause(im.ctx)
}

func (im *importer) skip(err error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.tally.Bad++
	im.bad(err)
}

func (im *importer) add(r *api.Record, number int) {
	key := string(r.Key)
	if im.underWay(key) {
		im.flush()
		im.loads.Wait()
	}
	plain := api.Record{Key: r.Key, Value: r.Value, Bare: r.Bare, Deleted: r.Deleted, Expiry: r.Expiry, Type: r.Type, TTL: r.TTL, If: r.If}
	line := append(plain.AppendJSON(nil), '\n')
	if len(im.current.lines) > 0 && len(im.current.lines)+len(line) > importBytes {
		im.flush()
	}
	c := im.current
	c.lines = append(c.lines, line...)
	c.keys = append(c.keys, key)
	c.numbers = append(c.numbers, number)
	im.mark(key, true)
	if len(c.keys) >= importKeys {
		im.flush()
	}
}

func (im *importer) underWay(key string) bool {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.flying[key]
}

func (im *importer) mark(key string, flying bool) {
	im.mu.Lock()
	defer im.mu.Unlock()
	if flying {
		im.flying[key] = true
	} else {
		delete(im.flying, key)
	}
}

// flush sends the current load as soon as there is a slot for it.
func (im *importer) flush() {
	l := im.current
	im.current = &load{}
	if len(l.keys) == 0 {
		return
	}
	select {
	case im.slots <- struct{}{}:
	case <-im.ctx.Done():
		return
	}
	im.loads.Go(func() {
		defer func() { <-im.slots }()
		if err := im.send(l); err != nil {
			im.cancel(err)
		}
		for _, key := range l.keys {
			im.mark(key, false)
		}
	})
}

// send asks until the node has taken the load. To ask again is safe: what was
// written is unchanged then.
func (im *importer) send(l *load) error {
	ctx, cancel := context.WithTimeout(im.ctx, im.timeout)
	defer cancel()
	for pause := importPause; ; pause *= 2 {
		res, err := im.loader.Load(ctx, im.bucket, l.lines, im.options)
		if err == nil {
			return im.count(l, res)
		}
		if !errors.Is(err, api.ErrOverloaded) {
			return err
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return err
		}
	}
}

func (im *importer) count(l *load, res api.LoadResult) error {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.tally.Node = res.Node
	im.tally.Written += res.Written
	im.tally.Unchanged += res.Unchanged
	for _, e := range res.Errors {
		if e.Index < 0 || e.Index >= len(l.numbers) || e.Error == nil {
			return fmt.Errorf("reply of node %s names no record of the load", res.Node)
		}
		if errors.Is(e.Error, api.ErrNotFound) {
			im.tally.Unchanged++ // a deleted key that was not there
			continue
		}
		err := &recordError{Where: l.where(e.Index), Err: e.Error}
		if !im.skipBad || e.Error.Status >= 500 || e.Error.Code == api.ErrFenced.Code {
			return err
		}
		im.tally.Bad++
		im.bad(err)
	}
	return nil
}
