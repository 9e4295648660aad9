package replicator

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"replicator/bus"
	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
)

// feed gives the engine an event. It waits while the engine is behind: that is
// what bounds the memory between network, disk and engine.
func (n *Node) feed(ev syncer.Event) {
	select {
	case n.events <- ev:
	case <-n.ctx.Done():
	}
}

// ask runs f in the engine's loop, where the engine may be read, and returns
// once it has run; on a node that stops it returns without.
func (n *Node) ask(f func()) {
	done := make(chan struct{})
	select {
	case n.asks <- func() { f(); close(done) }:
		<-done
	case <-n.ctx.Done():
	}
}

// runEngine is the only goroutine that touches the engine: events in, actions
// out. It never waits for disk or network.
func (n *Node) runEngine() error {
	rnd := rand.New(rand.NewPCG(newEpoch(), newEpoch())) //nolint:gosec // jitter and session names, no secret
	wake := time.NewTimer(time.Hour)
	defer wake.Stop()
	for {
		var ev syncer.Event
		select {
		case <-n.ctx.Done():
			return nil
		case f := <-n.asks:
			n.drainEvents(rnd, wake)
			f()
			continue
		case ev = <-n.events:
		case <-wake.C:
			ev = syncer.Tick{}
		}
		n.step(rnd, wake, ev)
	}
}

// drainEvents takes what waited before a question was asked, so that the
// answer knows of it.
func (n *Node) drainEvents(rnd *rand.Rand, wake *time.Timer) {
	for range len(n.events) {
		n.step(rnd, wake, <-n.events)
	}
}

func (n *Node) step(rnd *rand.Rand, wake *time.Timer, ev syncer.Event) {
	for _, a := range n.engine.Step(time.Now(), rnd, ev) {
		if w, ok := a.(syncer.WakeAt); ok {
			wake.Reset(time.Until(w.Time))
			continue
		}
		n.act(a)
	}
}

// act carries out one action, or hands it to the loop that will.
func (n *Node) act(a syncer.Action) {
	switch a := a.(type) {
	case syncer.Beat:
		n.send(a.Message, n.bus.PublishHeartbeat)
	case syncer.Send:
		n.send(a.Message, func(body []byte) error {
			return n.bus.SendSync(a.Bucket, a.To, sessionToken(a.Session), body)
		})
	case syncer.Answer:
		n.send(a.Message, func(body []byte) error { return n.bus.Reply(a.Reply, body) })
	case syncer.ApplyLive:
		n.queueApply(a.Bucket, a)
	case syncer.ApplyPage:
		n.queueApply(a.Bucket, a)
	case syncer.EndPull:
		n.queueApply(a.Bucket, a)
	case syncer.Collect:
		n.queueApply(a.Bucket, a)
	case syncer.Scrub:
		n.background(func() { n.scrub(a) })
	case syncer.Wipe:
		n.queueApply(a.Bucket, a)
	case syncer.TellFinals:
		n.background(func() { n.tellFinals(a) })
	case syncer.SaveMember:
		n.background(func() { n.saveMember(a.Member) })
	case syncer.OpenSnapshot:
		n.background(func() { n.feed(n.donor.Open(a)) })
	case syncer.ReadPage:
		n.background(func() { n.feed(n.donor.Read(a)) })
	case syncer.CloseSnapshot:
		n.background(func() { n.closeSnapshot(a.Session) })
	case syncer.ShrinkFrames:
		n.bus.FrameFailed()
	case syncer.JoinBucket:
		n.background(func() { n.joinHeard(a.Bucket) })
	case syncer.Fence:
		n.fence.CompareAndSwap(nil, &a.Reason)
		n.log.Error("writes are fenced", "reason", a.Reason)
	case syncer.NewEpoch:
		n.store.NewEpoch()
	case syncer.Raise:
		n.raise(a)
	}
}

// background runs work that the engine started and that feeds it an event when
// done. The engine bounds how much there is: a page a session, few sessions.
func (n *Node) background(f func()) {
	n.group.Go(func() error { f(); return nil })
}

func (n *Node) closeSnapshot(session uint64) {
	if err := n.donor.Close(session); err != nil {
		n.log.Warn("snapshot not closed cleanly", "error", err)
	}
}

func (n *Node) joinHeard(bucket string) {
	if _, err := n.joinAs(bucket, true); err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrNoBucket) {
		n.log.Warn("bucket heard of cannot be joined", "bucket", bucket, "error", err)
	}
}

// saveMember keeps what is known of a member. Without it a restart would only
// collect less until the member is heard again.
func (n *Node) saveMember(m syncer.Member) {
	if err := n.store.SaveMember(store.Member(m)); err != nil {
		n.log.Debug("member not saved", "member", m.Node, "error", err)
	}
}

// send encodes a message and puts it on its way. What cannot be sent is like
// what is lost on the way: the protocol notices and repeats.
func (n *Node) send(m oplog.Message, put func([]byte) error) {
	body, err := oplog.Encode(n.cfg.Codec, m)
	if err == nil {
		err = put(body)
	}
	if err != nil {
		level := slog.LevelWarn
		if errors.Is(err, bus.ErrOffline) {
			level = slog.LevelDebug
		}
		n.log.Log(context.Background(), level, "message not sent", "kind", oplog.KindOf(m).String(), "error", err)
	}
}

// deliver takes a message from the network, in a goroutine of the bus.
func (n *Node) deliver(m bus.Message) {
	if m.NoResponders {
		if session, ok := parseSession(m.ID); ok {
			n.feed(syncer.NoResponders{Session: session})
		}
		return
	}
	decoded, err := oplog.Decode(m.Body)
	if err != nil {
		n.log.Warn("message not understood", "subject", m.Subject, "error", err)
		return
	}
	if hb, ok := decoded.(*oplog.Heartbeat); ok && hb.From.Node == m.From {
		n.notePeerLimit(hb)
	}
	n.feed(syncer.Heard{From: m.From, Bucket: m.Bucket, Reply: m.Reply, Message: decoded, Size: len(m.Body)})
}

// notePeerLimit keeps messages below what a peer's server takes in one.
func (n *Node) notePeerLimit(hb *oplog.Heartbeat) {
	if hb.Stopping {
		n.bus.ForgetPeer(hb.From.Node)
		return
	}
	n.bus.SetPeerLimit(hb.From.Node, int64(min(hb.From.MaxPayload, 1<<40)))
}

// errorAttr is what a log line says of err; nothing of none.
func errorAttr(err error) []any {
	if err == nil {
		return nil
	}
	return []any{"error", err}
}

// notice takes what the bus tells of the connection.
func (n *Node) notice(nt bus.Notice) {
	switch nt.State {
	case bus.Connected:
		// Until it knows its buckets the engine is to hear nothing: it would say
		// that it does not hold them, and count for them no more.
		select {
		case <-n.joined:
		case <-n.ctx.Done():
			return
		}
		n.online.Store(true)
		n.log.Info("connected", "max_payload", nt.MaxPayload)
		n.feed(syncer.Connected{MaxPayload: uint64(max(nt.MaxPayload, 0))})
	case bus.Disconnected:
		if n.online.Swap(false) { // else it never was
			n.log.Warn("disconnected, working alone until the connection is back", errorAttr(nt.Err)...)
		}
		n.feed(syncer.Disconnected{})
	case bus.Lost:
		n.log.Warn("messages dropped, pulling what is missing", "subject", nt.Subject, "dropped", nt.Dropped)
		n.feed(syncer.Lost{Bucket: nt.Bucket})
	case bus.Denied:
		n.log.Error("the NATS server refused a permission", "subject", nt.Subject, "error", nt.Err)
		if nt.Kind == bus.KindLive {
			n.feed(syncer.Lost{Bucket: nt.Bucket}) // what live may not bring is pulled
		}
	case bus.Closed:
		n.online.Store(false)
		n.log.Error("the NATS connection was closed", "error", nt.Err)
		n.feed(syncer.Disconnected{})
	}
}

// runSync makes merged rows durable, so that the digests told to others move.
// Pulls and live messages that come close together share one fsync.
func (n *Node) runSync() error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return nil
		case <-n.dirty:
		}
		if err := n.syncTouched(); err != nil {
			n.log.Error("sync failed", "error", err)
		}
		pause.Reset(mergeSyncPause)
		select {
		case <-n.ctx.Done():
			return nil
		case <-pause.C:
		}
	}
}

// mergeSyncPause is the least time between fsyncs for merged rows: a crash
// loses them together with their clock, and the next pull brings them back.
const mergeSyncPause = 25 * time.Millisecond

func (n *Node) syncTouched() error {
	n.mu.Lock()
	touched := n.touched
	n.touched = map[string]bool{}
	n.mu.Unlock()
	if err := n.store.Sync(); err != nil {
		return err
	}
	for bucket := range touched {
		if l, err := n.held(bucket); err == nil {
			l.moved.beat()
		}
		n.feed(syncer.Synced{Bucket: bucket})
	}
	return nil
}

// touch says that a bucket holds merged rows that are not synced.
func (n *Node) touch(bucket string) {
	n.mu.Lock()
	n.touched[bucket] = true
	n.mu.Unlock()
	select {
	case n.dirty <- struct{}{}:
	default:
	}
}

// queueApply hands merging to the bucket's own loop.
func (n *Node) queueApply(bucket string, a syncer.Action) {
	n.mu.Lock()
	l := n.loops[bucket]
	n.mu.Unlock()
	if l != nil {
		l.applies.put(a)
	}
}
