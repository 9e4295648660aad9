package replicator

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"replicator/api"
	"replicator/store"
	syncer "replicator/sync"
)

const (
	// scrubShare is which part of the time a scrub in the background may take of
	// the disk: one in so many.
	scrubShare = 50
	// rotEvents is of how many bad rows one scrub tells by name.
	rotEvents = 10
)

// scrubs remember the last scrub of a bucket that was read to the end.
type scrubs struct {
	mu    sync.Mutex // guards all below
	begun uint64
	last  api.ScrubStatus
}

func (s *scrubs) begin() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun++
	return s.begun
}

func (s *scrubs) end(number uint64, done *store.Scrub, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number < s.last.Ended {
		return // a slow one in the background, which began earlier
	}
	s.last = api.ScrubStatus{
		Ended: number, Last: time.Now().UTC().Format(time.RFC3339), Rows: done.Rows, Bad: done.Bad, Fixed: uint64(done.Fixed),
	}
	if err != nil {
		s.last.Error = text(err)
	}
}

func (s *scrubs) status() api.ScrubStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.last
	st.Begun = s.begun
	return st
}

// scrub reads all rows of a bucket and tells of those that are bad.
func (n *Node) scrub(a syncer.Scrub) {
	ev := syncer.Scrubbed{Bucket: a.Bucket, Soon: a.Soon}
	l, err := n.held(a.Bucket)
	if err != nil {
		ev.Err = err
		n.feed(ev)
		return
	}
	number := l.scrubs.begin()
	s := l.bucket.Scrub()
	defer s.Close()
	ev.Err = n.readAll(s, a.Soon)
	l.scrubs.end(number, s, ev.Err)
	n.tellRot(a.Bucket, s)
	if ev.Err != nil && n.ctx.Err() == nil && !errors.Is(ev.Err, store.ErrDropped) {
		n.log.Error("rows not read to the end", "bucket", a.Bucket, "error", ev.Err)
	}
	if s.Fixed > 0 {
		n.log.Warn("sums and counts were not those of the rows", "bucket", a.Bucket, "fixed", s.Fixed)
		if err := n.store.Sync(); err != nil { // what the engine compares next is the durable digest
			n.log.Error("sync failed", "error", err)
		}
		n.feed(syncer.Synced{Bucket: a.Bucket})
	}
	n.feed(ev)
}

// readAll runs a scrub to its end. One in the background rests after each step.
func (n *Node) readAll(s *store.Scrub, soon bool) error {
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		begun := time.Now()
		more, err := s.Step()
		if !more || err != nil {
			return err
		}
		pause := time.Duration(0)
		if !soon {
			pause = time.Since(begun) * scrubShare
		}
		rest.Reset(pause)
		select {
		case <-n.ctx.Done():
			return ErrClosed
		case <-rest.C:
		}
	}
}

// tellRot raises an event for each bad row that was not known before, up to a
// number.
func (n *Node) tellRot(bucket string, s *store.Scrub) {
	for i, key := range s.Found {
		if i == rotEvents {
			n.publishEvent(event{
				Kind: eventBitRot, Bucket: bucket,
				Text: fmt.Sprintf("%d more rows are not what was written", len(s.Found)-rotEvents),
			})
			return
		}
		n.publishEvent(event{
			Kind: eventBitRot, Bucket: bucket, Key: string(key),
			Text: "a row is not what was written: the disk or the memory of this machine is broken; the row is fetched from a peer",
		})
	}
}

const eventBitRot = "bit_rot"

// suspect has all rows of the bucket read if err says that one is bad.
func (l *loop) suspect(err error) error {
	if store.IsCorrupt(err) {
		l.node.feed(syncer.Suspect{Bucket: l.name})
	}
	return err
}
