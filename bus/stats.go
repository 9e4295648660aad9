package bus

import "sync/atomic"

// Traffic counts messages and bytes of one kind. Frames count one by one;
// bytes are those of bodies and frames, without headers and subjects.
type Traffic struct{ Messages, Bytes uint64 }

// Stats are counters since New, and present sizes.
type Stats struct {
	// Published and Received count by kind.
	Published, Received map[Kind]Traffic
	// ForeignReplies are sync requests dropped because they wanted their
	// answer outside their requester's reply space.
	ForeignReplies uint64
	// BadSubjects are messages dropped because their subject holds a name
	// that is not allowed.
	BadSubjects uint64
	// BadFrames are frames refused as damaged, repeated or out of order.
	BadFrames uint64
	// TooLarge are frames refused because their whole body is above MaxBody.
	TooLarge uint64
	// AssemblerFull are frames refused for lack of room.
	AssemblerFull uint64
	// AssembliesExpired are bodies given up because the rest did not come.
	AssembliesExpired uint64
	// SlowDrops are messages lost because Deliver did not keep up.
	SlowDrops uint64
	// Denied are refusals by the server.
	Denied uint64
	// Reconnects count since Start, and a first connection that came after it.
	Reconnects uint64
	// Assemblies and AssemblyBytes are the unfinished bodies now.
	Assemblies, AssemblyBytes int
	// FrameLimit is the largest message sent now.
	FrameLimit int
	// Joined is the number of live subscriptions.
	Joined int
}

type traffic struct{ messages, bytes atomic.Uint64 }

func (t *traffic) add(n int) {
	t.messages.Add(1)
	t.bytes.Add(uint64(n))
}

type counters struct {
	in, out        [kinds]traffic
	foreignReplies atomic.Uint64
	badSubjects    atomic.Uint64
	badFrames      atomic.Uint64
	tooLarge       atomic.Uint64
	assemblerFull  atomic.Uint64
	slowDrops      atomic.Uint64
	denied         atomic.Uint64
	reconnects     atomic.Uint64
}

// Stats reads the counters.
func (b *Bus) Stats() Stats {
	c, a := &b.stats, b.assembler.Stats()
	s := Stats{
		Published:         make(map[Kind]Traffic, kinds),
		Received:          make(map[Kind]Traffic, kinds),
		ForeignReplies:    c.foreignReplies.Load(),
		BadSubjects:       c.badSubjects.Load(),
		BadFrames:         c.badFrames.Load(),
		TooLarge:          c.tooLarge.Load(),
		AssemblerFull:     c.assemblerFull.Load(),
		AssembliesExpired: a.Expired,
		SlowDrops:         c.slowDrops.Load(),
		Denied:            c.denied.Load(),
		Reconnects:        c.reconnects.Load(),
		Assemblies:        a.Open,
		AssemblyBytes:     a.Memory,
		FrameLimit:        b.FrameLimit(),
	}
	for k := KindLive; k < kinds; k++ {
		s.Published[k] = Traffic{c.out[k].messages.Load(), c.out[k].bytes.Load()}
		s.Received[k] = Traffic{c.in[k].messages.Load(), c.in[k].bytes.Load()}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Joined = len(b.joined)
	return s
}
