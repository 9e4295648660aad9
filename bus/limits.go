package bus

import "sync"

const (
	// headerRoom is kept free in each message below max_payload, which counts
	// headers too: ours, and those which a server adds on the way (tracing, the
	// requester's account).
	headerRoom = 512
	// shrinkFloor is where FrameFailed stops halving.
	shrinkFloor = 16 << 10
	// peerFloor is the least that a peer's claim can lower the limit to: one
	// node that claims a max_payload of 1 must not silence the fleet.
	peerFloor = 1 << 10
)

// limits are what bounds a message beside the options and the own server.
type limits struct {
	mu       sync.Mutex // guards all below
	peers    map[string]int64
	smallest int64 // of peers; 0: none
	shrunk   int   // after failures; 0: not
}

func (l *limits) clamp(limit int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.smallest > 0 {
		limit = min(limit, l.smallest-headerRoom)
	}
	if l.shrunk > 0 {
		limit = min(limit, int64(l.shrunk))
	}
	return limit
}

func (l *limits) restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shrunk = 0
}

// FrameLimit is the largest message that is sent now: the least of MaxFrame,
// the server's and each known peer's max_payload less room for headers, and
// what FrameFailed left. It may change with every reconnect, so ask each time.
func (b *Bus) FrameLimit() int {
	limit := int64(b.opts.MaxFrame)
	// Before the first connection nothing is known of the server.
	if m := b.maxPayload(); m > 0 {
		limit = min(limit, m-headerRoom)
	}
	return int(max(b.limits.clamp(limit), 0))
}

// maxPayload reads what the server takes now, since a reconnect may change it;
// while the connection is down it gives the last known (see ready for why).
func (b *Bus) maxPayload() int64 {
	if b.watched() != Disconnected {
		b.payload.Store(b.nc.MaxPayload())
	}
	return b.payload.Load()
}

// LiveLimit is the largest body that PublishLive takes in one message now.
func (b *Bus) LiveLimit() int { return b.FrameLimit() }

func (b *Bus) fits(what string, body []byte) error {
	if limit := b.FrameLimit(); len(body) > limit {
		return &TooLargeError{What: what, Size: int64(len(body)), Limit: int64(limit)}
	}
	return nil
}

// SetPeerLimit records the max_payload that node announced: a message above it
// would be lost on the way, silently, together with the link it was lost on.
// Zero or less forgets it.
func (b *Bus) SetPeerLimit(node string, maxPayload int64) {
	if maxPayload <= 0 {
		b.ForgetPeer(node)
		return
	}
	maxPayload = max(maxPayload, peerFloor)
	l := &b.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	old, known := l.peers[node]
	if known && old == maxPayload {
		return
	}
	if l.peers == nil {
		l.peers = make(map[string]int64)
	}
	l.peers[node] = maxPayload
	switch {
	case l.smallest == 0 || maxPayload < l.smallest:
		l.smallest = maxPayload
	case known && old == l.smallest:
		l.findSmallest()
	}
}

// ForgetPeer drops the limit of a node that is no longer there.
func (b *Bus) ForgetPeer(node string) {
	l := &b.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	old, known := l.peers[node]
	delete(l.peers, node)
	if known && old == l.smallest {
		l.findSmallest()
	}
}

func (l *limits) findSmallest() {
	l.smallest = 0
	for _, p := range l.peers {
		if l.smallest == 0 || p < l.smallest {
			l.smallest = p
		}
	}
}

// FrameFailed halves the largest message, down to 16 KiB: for a session that
// failed repeatedly, since a hop that nobody announced (a leaf's hub with a
// small max_payload) drops a large message and its link without a word. The
// next reconnect takes it back.
func (b *Bus) FrameFailed() {
	now := b.FrameLimit()
	if now <= shrinkFloor {
		return
	}
	b.limits.mu.Lock()
	defer b.limits.mu.Unlock()
	b.limits.shrunk = max(now/2, shrinkFloor)
}
