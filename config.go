package replicator

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"replicator/bus"
	"replicator/oplog"
	"replicator/store"
)

// Durability says when a write is answered.
type Durability string

const (
	// DurabilitySync answers a write once it is on disk. Writers that wait at the
	// same time share one fsync.
	DurabilitySync Durability = "sync"
	// DurabilityInterval answers at once; fsyncs run back to back while anything
	// is unsynced. A crash loses the writes of the last fsync, which nobody else
	// has seen: nothing leaves a node before it is on its disk.
	DurabilityInterval Durability = "interval"
)

// An AmbiguousPolicy says what this node writes in place of a value that may be
// older than a forgotten delete. The write replicates, so all nodes agree, also
// where they have different policies: the later write wins. A replica never
// writes and has no use for one.
type AmbiguousPolicy = store.Policy

// The policies.
const (
	AmbiguousKeep   = store.Keep   // the value once more: a deleted key may come back
	AmbiguousDelete = store.Delete // a delete: the value is lost
	AmbiguousPark   = store.Park   // a delete; the value is kept, see Bucket.Conflicts
)

// A Config says which node to open. Dir and Conn are required.
type Config struct {
	// Node is the name of the node. Default: the name kept in Dir; for a new
	// store the host's name with five random characters.
	Node string
	// Dir is where the store is. It is made if it does not exist.
	Dir string
	// Conn is the connection to NATS. It stays the caller's: Close leaves it
	// open. ConnectOptions are the options it should be made with.
	Conn *nats.Conn
	// Ambiguous says what becomes of a value that a node wrote while it was away,
	// if it may be older than a delete that everybody else has forgotten.
	// Default AmbiguousKeep.
	Ambiguous AmbiguousPolicy
	// Replica makes the node one that pulls and follows live, and passes on what
	// it has, but never writes: each local write is ErrReplica. A Dir that has
	// ever been a master's, and written, is refused with ErrHasWritten. What a
	// replica cannot judge it does not keep: it may empty a bucket and fill it
	// anew, while its readers see a part of the rows.
	Replica bool
	// Buckets are the buckets to hold: each a name, or with a * at its end every
	// bucket heard of whose name begins so. Default: every bucket heard of, and
	// "default".
	Buckets []string
	// Codec is how this node writes messages. It reads every codec.
	// Default oplog.Msgpack.
	Codec oplog.Codec
	// Durability says when a write is answered. Default DurabilitySync.
	Durability Durability
	// Prefix is the first token of all subjects. Default "replicator".
	Prefix string
	// Version is what the node says of itself to others. Default "dev".
	Version string
	// CacheBytes is the size of the store's block cache, beside 32 MiB of what was
	// written lately. Default 32 MiB.
	CacheBytes int64
	// LowWater is below how many free bytes on Dir's disk the node refuses
	// writes. Default 64 MiB.
	LowWater uint64
	// MaxDrift is up to how far ahead of the wall clock the timestamps of
	// others may pull this node's own. Default 5m.
	MaxDrift time.Duration
	// EvictAfter is how long a node may be silent before tombstones are
	// collected without it. One that returns later than that compares all its
	// rows with another's. Default 30 days.
	EvictAfter time.Duration
	// EvictReplicasAfter is the same of a replica. Default 24h.
	EvictReplicasAfter time.Duration
	// CollectEvery is how often the node looks for tombstones that everybody
	// has. Default 1m.
	CollectEvery time.Duration
	// ScrubEvery is how often the node reads all its rows in the background and
	// compares each with its hash. It takes a fiftieth of the time at most.
	// Default 24h.
	ScrubEvery time.Duration
	// Queue is how many writes of a bucket may wait for the disk. A full queue
	// makes writers wait, and fail with ErrOverloaded when their context ends.
	// Default 4096.
	Queue int
	// Logger takes the node's story. Default: nothing is logged.
	Logger *slog.Logger
}

// DefaultBucket is the bucket that every node holds which holds all.
const DefaultBucket = "default"

func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("replicator: no directory given")
	}
	if c.Conn == nil {
		return c, errors.New("replicator: no NATS connection given")
	}
	setDefault(&c.Codec, oplog.Msgpack)
	setDefault(&c.Durability, DurabilitySync)
	setDefault(&c.Prefix, bus.DefaultPrefix)
	setDefault(&c.Version, "dev")
	setDefault(&c.CacheBytes, 32<<20)
	setDefault(&c.LowWater, 64<<20)
	setDefault(&c.MaxDrift, 5*time.Minute)
	setDefault(&c.EvictAfter, 30*24*time.Hour)
	setDefault(&c.EvictReplicasAfter, 24*time.Hour)
	setDefault(&c.CollectEvery, time.Minute)
	setDefault(&c.ScrubEvery, 24*time.Hour)
	setDefault(&c.Queue, 4096)
	setDefault(&c.Logger, slog.New(slog.DiscardHandler))
	return c, c.check()
}

func (c Config) check() error {
	if c.Durability != DurabilitySync && c.Durability != DurabilityInterval {
		return fmt.Errorf("durability %q: want sync or interval", c.Durability)
	}
	if _, err := oplog.ParseCodec(string(c.Codec)); err != nil {
		return err
	}
	if _, err := store.ParsePolicy(string(c.Ambiguous)); err != nil {
		return err
	}
	if c.Node != "" {
		if err := bus.ValidNode(c.Node); err != nil {
			return err
		}
	}
	if err := bus.ValidPrefix(c.Prefix); err != nil {
		return err
	}
	for _, name := range c.Buckets {
		if err := bus.ValidBuckets(name); err != nil {
			return err
		}
	}
	return nil
}

func setDefault[T comparable](field *T, def T) {
	var zero T
	if *field == zero {
		*field = def
	}
}

// ConnectOptions are how a node should connect: for ever, with jitter, and
// without a buffer that would replay stale messages. The name is what the NATS
// server lists the connection under.
func ConnectOptions(name string, log *slog.Logger) []nats.Option {
	return bus.ConnectOptions(name, log)
}
