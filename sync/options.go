package syncer

import (
	"time"

	"replicator/oplog"
)

// Options tune an Engine. Zero fields take the defaults written beside them.
type Options struct {
	// Joins reports whether the node is to hold a bucket that it hears of. Nil: none.
	Joins func(bucket string) bool
	// Left are the buckets that this node held and was told to leave: they are not
	// joined for being heard of.
	Left []string
	// Wrote is, by bucket that was left at some time, what the node had written there
	// itself: that others hold it, and this disk does not, is no loss.
	Wrote map[string]oplog.Clock

	// HeartbeatMax is the longest pause between heartbeats of an idle node.
	// Shorter finds a lost last message sooner and costs more traffic.
	// Default 60s.
	HeartbeatMax time.Duration
	// HeartbeatMin is the pause between a change and the heartbeat that tells
	// of it. Default 1s.
	HeartbeatMin time.Duration
	// HeartbeatUneasy is the pause while a peer's digest differs or a peer is
	// overdue. Default 5s.
	HeartbeatUneasy time.Duration
	// FleetBudget is what the heartbeats of all nodes together may cost, in
	// bytes a second. Default 4096.
	FleetBudget int

	// Members are those that an earlier process of this node has saved.
	Members []Member
	// Retired are those that have left or were forgotten, as the fleet knew when
	// this process began.
	Retired map[string]Retired
	// Finals are, by bucket, the last seqs of origins that are written no more, as
	// the fleet knew when this process began.
	Finals map[string]oplog.Clock
	// FoldAt is of how many such origins of a bucket, that the list of the fleet
	// lacks, a node tells at once. Default 16.
	FoldAt int
	// EvictAfter is how long a member may be silent before tombstones are
	// collected without it. Default 30 days.
	EvictAfter time.Duration
	// EvictReplicasAfter is the same of a replica, which has nothing of its own
	// to lose. Default 24h.
	EvictReplicasAfter time.Duration
	// WipeTries is how often in a row a replica may get what could be older than
	// a delete it has collected, before it empties the bucket. Default 8, which
	// takes half a minute.
	WipeTries int
	// CollectEvery is how often tombstones are collected. Default 1m.
	CollectEvery time.Duration
	// ScrubEvery is how often all rows are read and compared with their hashes.
	// Default 24h.
	ScrubEvery time.Duration
	// ReportAfter is how long the clocks of two nodes differ whenever they are
	// compared before one is sent whole, so that tombstones can be collected
	// under constant writes. Default 10m.
	ReportAfter time.Duration

	// UncoveredAfter is how long a peer's durable write may stay unseen before
	// it is pulled: live usually brings it. Default 2s.
	UncoveredAfter time.Duration
	// GreetJitter spreads the handshakes after a heal. Default 250ms.
	GreetJitter time.Duration
	// AnswerTimeout is how long a session waits for its peer. Default 10s.
	AnswerTimeout time.Duration
	// BackoffMax is the longest pause between pulls that fail or bring
	// nothing. Default 2m.
	BackoffMax time.Duration

	// GapBuffer is how many bytes of live messages a bucket holds while what
	// came before them is pulled. Default 8 MiB.
	GapBuffer int
	// ApplyBuffer is how many bytes of live messages of a bucket may wait for
	// the store. Default 8 MiB.
	ApplyBuffer int

	// PageBytes is the size of a page. Default 192 KiB: with its frame it stays
	// below a frame of 256 KiB.
	PageBytes int
	// Window is how many bytes of pages travel before the puller has to
	// acknowledge. Default 1 MiB.
	Window int
	// Serves is how many pulls are served at once. Default 8.
	Serves int
	// CutAfter and CutBytes end a stream in key order early, so that no
	// snapshot pins the store. Defaults 60s and 256 MiB.
	CutAfter time.Duration
	CutBytes int
	// LogOrderMax is up to how many missing writes, or a fiftieth of the rows
	// if that is more, a stream comes in log order. Default 10000.
	LogOrderMax uint64
	// CompareAbove is up to how many rows a clock travels whole. Default 128.
	CompareAbove int
}

func (o Options) withDefaults() Options {
	pick(&o.HeartbeatMax, 60*time.Second)
	pick(&o.HeartbeatMin, time.Second)
	pick(&o.HeartbeatUneasy, 5*time.Second)
	pick(&o.FleetBudget, 4096)
	pick(&o.EvictAfter, 30*24*time.Hour)
	pick(&o.EvictReplicasAfter, 24*time.Hour)
	pick(&o.WipeTries, 8)
	pick(&o.FoldAt, 16)
	pick(&o.CollectEvery, time.Minute)
	pick(&o.ScrubEvery, 24*time.Hour)
	pick(&o.ReportAfter, 10*time.Minute)
	pick(&o.UncoveredAfter, 2*time.Second)
	pick(&o.GreetJitter, 250*time.Millisecond)
	pick(&o.AnswerTimeout, 10*time.Second)
	pick(&o.BackoffMax, 2*time.Minute)
	pick(&o.GapBuffer, 8<<20)
	pick(&o.ApplyBuffer, 8<<20)
	pick(&o.PageBytes, 192<<10)
	pick(&o.Window, 1<<20)
	pick(&o.Serves, 8)
	pick(&o.CutAfter, time.Minute)
	pick(&o.CutBytes, 256<<20)
	pick(&o.LogOrderMax, 10_000)
	pick(&o.CompareAbove, 128)
	return o
}

func pick[T comparable](field *T, def T) {
	var zero T
	if *field == zero {
		*field = def
	}
}

// Sums are what two copies compare to find where they differ.
type Sums struct {
	Clock oplog.Clock
	Parts [oplog.HashParts]uint64
	Bad   []uint64 // parts that hold bad rows, ascending
	Gated uint64   // moves when rows are collected
}

// A Store is what the engine reads of the store, all of it from memory. The
// methods answer with zeros for buckets that are not joined.
type Store interface {
	// Durable returns the digest of the last fsynced state.
	Durable(bucket string) oplog.Digest
	// Covered returns the clock's row of one origin.
	Covered(bucket string, o oplog.Origin) oplog.Seq
	// DurableState returns the digest and the clock of the last fsynced state.
	DurableState(bucket string) (oplog.Digest, oplog.Clock)
	// Collectable reports whether the bucket holds tombstones or rows with an
	// expiry.
	Collectable(bucket string) bool
	// Clock returns a copy of the clock.
	Clock(bucket string) oplog.Clock
	// ClockHash returns a copy of the hash of the clock.
	ClockHash(bucket string) oplog.ClockHash
	// Ahead returns a copy of the extras: up to where, by origin, writes are held
	// above the clock.
	Ahead(bucket string) oplog.Clock
	// Sums returns what a repair compares, all of one moment.
	Sums(bucket string) Sums
	// BadRows returns how many rows are known not to be what was written.
	BadRows(bucket string) int
	// Token returns the token of an unfinished pull in key order.
	Token(bucket string) (Token, bool)
}
