package oplog

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
)

// The limits of what a master takes, by itself or from a peer.
const (
	MaxName   = 64       // bytes of a node or bucket name
	MaxKey    = 4096     // bytes of a key; a key has at least one
	MaxValue  = 16 << 20 // bytes of a value
	MaxType   = 255      // bytes of a content type
	MaxClock  = 65536    // origins in a clock
	MaxBucket = 1024     // buckets of a node
)

// HashParts is into how many parts the hash of a bucket's rows is cut.
const HashParts = 1024

// An Entry is one write as it travels, and, where it won its key, the row as it
// is stored. Its slices belong to whoever holds the entry: nothing in this
// package keeps them.
type Entry struct {
	Key       []byte
	Value     []byte // empty for a tombstone
	Stamp     Stamp
	Prev      Stamp  // stamp of the row that the writer replaced; zero if there was none
	Tombstone bool   // the entry deletes its key
	Expiry    int64  // milliseconds since 1970 after which nodes hide the row; 0 never
	Type      string // what the value is, as the writer said: a media type; empty if he did not

	// BatchBack and BatchAhead are how many seqs before and after this one
	// belong to the same atomic batch. Both are zero for a write of its own.
	BatchBack, BatchAhead uint32
}

// Dot returns the name of the write.
func (e *Entry) Dot() Dot { return e.Stamp.Dot() }

// Expired reports whether the entry's expiry has passed at now.
func (e *Entry) Expired(now time.Time) bool {
	return e.Expiry != 0 && now.UnixMilli() >= e.Expiry
}

// Live reports whether a reader at now sees the entry.
func (e *Entry) Live(now time.Time) bool { return !e.Tombstone && !e.Expired(now) }

// Size returns about how many bytes the entry takes on a wire.
func (e *Entry) Size() int {
	return len(e.Key) + len(e.Value) + len(e.Stamp.Origin.Node) + len(e.Prev.Origin.Node) + len(e.Type) + 64
}

// MaxSize returns the most bytes the entry takes in any codec.
func (e *Entry) MaxSize() int {
	names := len(e.Stamp.Origin.Node) + len(e.Prev.Origin.Node)
	return jsonSize(e.Key) + jsonSize(e.Value) + 2*len(e.Type) + names + entryJSON // 2: each byte escaped
}

// SameBatch reports whether e and f were written as parts of one atomic batch.
func (e *Entry) SameBatch(f *Entry) bool {
	if e.BatchBack == 0 && e.BatchAhead == 0 || e.Stamp.Origin != f.Stamp.Origin {
		return false
	}
	return e.Stamp.Seq-uint64(e.BatchBack) == f.Stamp.Seq-uint64(f.BatchBack) &&
		e.Stamp.Seq+uint64(e.BatchAhead) == f.Stamp.Seq+uint64(f.BatchAhead)
}

// Check reports whether the entry is one that a correct master could have
// written: sizes within limits, named origin, seq and timestamp present.
func (e *Entry) Check() error {
	switch {
	case len(e.Key) == 0:
		return fmt.Errorf("entry %s: empty key", e.Dot())
	case len(e.Key) > MaxKey:
		return fmt.Errorf("entry %s: key of %d bytes, limit %d", e.Dot(), len(e.Key), MaxKey)
	case len(e.Value) > MaxValue:
		return fmt.Errorf("entry %s: value of %d bytes, limit %d", e.Dot(), len(e.Value), MaxValue)
	case e.Tombstone && len(e.Value) > 0:
		return fmt.Errorf("entry %s: tombstone with a value", e.Dot())
	case !e.Stamp.complete():
		return fmt.Errorf("entry %s: no complete stamp", e.Dot())
	case !e.Prev.IsZero() && (!e.Prev.complete() || !e.Prev.Less(e.Stamp)):
		return fmt.Errorf("entry %s: replaces a later row", e.Dot())
	case uint64(e.BatchBack) >= e.Stamp.Seq || e.Stamp.Seq+uint64(e.BatchAhead) < e.Stamp.Seq:
		return fmt.Errorf("entry %s: batch beyond its origin's seqs", e.Dot())
	case e.Expiry < 0:
		return fmt.Errorf("entry %s: negative expiry", e.Dot())
	case e.Tombstone && e.Type != "":
		return fmt.Errorf("entry %s: tombstone with a content type", e.Dot())
	}
	if err := CheckType(e.Type); err != nil {
		return fmt.Errorf("entry %s: %w", e.Dot(), err)
	}
	return nil
}

// A TypeError reports a text that cannot be a content type.
type TypeError struct{ Type string }

func (e *TypeError) Error() string {
	shown := e.Type
	if len(shown) > 80 {
		shown = shown[:80] + "..."
	}
	return fmt.Sprintf("content type %q of %d bytes: want at most %d of printable ASCII, as application/json, with no space at either end",
		shown, len(e.Type), MaxType)
}

// CheckType reports whether s can be a content type, with a *TypeError if not. It
// has to fit a header as it is: nothing there may end the line, or be trimmed.
func CheckType(s string) error {
	bad := len(s) > MaxType || s != "" && (s[0] == ' ' || s[len(s)-1] == ' ')
	for i := 0; i < len(s) && !bad; i++ {
		bad = s[i] < ' ' || s[i] > '~'
	}
	if bad {
		return &TypeError{Type: s}
	}
	return nil
}

// ValidName reports whether s is one token of 1 to MaxName letters, digits,
// underscores and hyphens, as node and bucket names are.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > MaxName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// Hash returns the row hash: 64 bits over key, stamp, flags, expiry, type and value.
// A type that is not empty has a flag, and its length before it, so that no value
// begins like one.
func (e *Entry) Hash() uint64 {
	b := make([]byte, 0, 256)
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.Key)))
	b = append(b, e.Key...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Stamp.HLC))
	b = append(append(b, e.Stamp.Origin.Node...), 0)
	b = binary.BigEndian.AppendUint64(b, e.Stamp.Origin.Epoch)
	b = binary.BigEndian.AppendUint64(b, e.Stamp.Seq)
	flags := e.flags()
	if e.Type != "" {
		flags |= hashTyped
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Expiry))
	if e.Type != "" {
		b = append(append(b, byte(len(e.Type))), e.Type...)
	}
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write(b) // never fails
	_, _ = d.Write(e.Value)
	return d.Sum64()
}

// HashPart returns in which of the HashParts parts the key counts.
func HashPart(key []byte) int { return int(xxhash.Sum64(key) % HashParts) }

const (
	flagTombstone = 1
	hashTyped     = 2 // in the row hash alone: an entry with a type says so by the type
)

func (e *Entry) flags() byte {
	if e.Tombstone {
		return flagTombstone
	}
	return 0
}
