package simnet

import (
	"fmt"
	"strings"
	"time"
)

// Stats counts what happened in a world.
type Stats struct {
	Count   [kinds]int
	Virtual time.Duration
	Settle  time.Duration // from the last fault until all was equal
}

// A Kind is something that is counted.
type Kind int

// What happens anyway, what goes wrong, and which roads of the protocol are
// taken. A run of many worlds in which one never came up has not tested it.
const (
	Steps Kind = iota
	Writes
	Ends // of those, with an expiry
	Messages
	Bytes
	Talk // messages that are no heartbeats

	Lost
	Doubled
	Reordered
	OneWay
	TwoWay
	Unheard // the server told that nobody listens
	Crashes
	LostCommits
	Refusals // of a full disk
	FullDisks
	SlowDisks
	SlowLinks
	CutPages // a link is cut as a page leaves
	ClockSteps
	SkewedClocks
	Stops
	Tickets // of clean stops: the next start keeps the epoch
	Restarts
	Parts        // of nodes from a bucket
	Restores     // of an older disk
	Clones       // of a disk, started under the same name
	ToldRestored // events
	ToldCloned
	Fences // of the younger of two instances
	Retirements
	Ended     // origins that the fleet was told of
	Folded    // clocks that travelled without those
	Evictions // a collection without a member that was away for too long
	Returns   // of such a member
	Forced    // tombstones collected whoever had not seen them

	Pulls
	Pages
	Cutoffs
	Compared
	Announced
	Batches // of many keys, all or nothing
	Overflows
	Stable // tombstones collected because all had them
	Reconciles
	Doubted  // of those, ends that would remove many rows
	Seconded // likewise, carried out because a second donor or the operator said so
	Accepted // by the operator
	Reissued
	DeletedAgain // of those, as a delete
	Denied       // writes to a replica
	Wipes        // of a replica that cannot issue again
	Ordered      // of those, by the operator
	Flips        // bits of a row, behind the store's back
	LostRows     // likewise, whole rows
	Scrubs       // of all rows of a bucket
	BadRows      // found in them
	Diverged     // alarms
	Repaired     // rows put right from a peer

	Readers
	Told // events
	Marks
	ResumedHere      // with the token of a mark, at the same node
	ResumedElsewhere // likewise, at another
	ToldOlder        // rows that may be older than what the reader had from elsewhere
	ExpiredTokens
	Rereads    // of the log, by readers that fell behind
	LeftBehind // of those, such that had to begin anew
	WipedReads

	kinds
)

var names = [kinds]string{
	Steps: "steps", Writes: "writes", Ends: "of those with an end", Messages: "messages", Bytes: "bytes", Talk: "messages that are no heartbeats",
	Lost: "messages lost", Doubled: "messages doubled", Reordered: "messages out of order", OneWay: "links cut one way", TwoWay: "links cut both ways",
	Unheard: "answers that nobody listens", Crashes: "crashes", LostCommits: "commits lost in them",
	Refusals: "batches refused by a full disk", FullDisks: "disks that fill up", SlowDisks: "slow disks", SlowLinks: "slow links",
	CutPages: "links cut as a page leaves", ClockSteps: "steps of a wall clock", SkewedClocks: "wall clocks that are off", Restarts: "restarts",
	Stops: "clean stops", Tickets: "epochs kept over them", ToldRestored: "disks told to be others", ToldCloned: "clones told of",
	Parts: "buckets left, and joined again later", Restores: "older disks put back", Clones: "copies of a disk started", Fences: "younger doubles fenced",
	Evictions: "collections without a member", Returns: "returns of one", Retirements: "members forgotten", Ended: "ended origins told of", Folded: "clocks sent without such", Forced: "tombstones collected by force",
	Pulls: "pulls", Pages: "pages", Cutoffs: "streams cut", Compared: "clocks compared by parts", Announced: "announced writes",
	Batches: "atomic batches", Overflows: "overflows of the gap buffer", Stable: "stable tombstones collected", Reconciles: "reconciles",
	Doubted: "reconciles doubted", Seconded: "reconciles that another word let end", Accepted: "doubts ended by the operator",
	Reissued: "writes issued again", DeletedAgain: "of those as deletes", Denied: "writes to a replica", Wipes: "replicas emptied", Ordered: "of those as the operator wants it",
	Flips: "bits of rows flipped", LostRows: "rows lost from a disk", Scrubs: "scrubs",
	BadRows: "bad rows found", Diverged: "alarms of divergence", Repaired: "rows put right from a peer",
	Readers: "readers", Told: "events told to them", Marks: "marks", ResumedHere: "tokens used where they are from", ResumedElsewhere: "tokens used elsewhere",
	ToldOlder: "readers told what may be older", ExpiredTokens: "tokens that were too old", Rereads: "readers that fell behind", LeftBehind: "of those too far", WipedReads: "readers of a replica emptied",
}

func (k Kind) String() string { return names[k] }

// Faults counts what was done to the world on purpose, beside what a lossy
// network does to single messages.
func (s *Stats) Faults() int {
	n := 0
	for _, k := range []Kind{
		OneWay, TwoWay, CutPages, Crashes, FullDisks, SlowDisks, SlowLinks, ClockSteps, Restores, Clones, Retirements, Flips, LostRows,
	} {
		n += s.Count[k]
	}
	return n
}

// Add adds those of another world.
func (s *Stats) Add(other Stats) {
	for k, n := range other.Count {
		s.Count[k] += n
	}
	s.Virtual += other.Virtual
	s.Settle = max(s.Settle, other.Settle)
}

// Never lists what did not happen once.
func (s *Stats) Never() []Kind {
	var list []Kind
	for k, n := range s.Count {
		if n == 0 {
			list = append(list, Kind(k))
		}
	}
	return list
}

// String is a table.
func (s *Stats) String() string {
	var b strings.Builder
	for k, n := range s.Count {
		fmt.Fprintf(&b, "%-32s %12d\n", Kind(k), n)
	}
	fmt.Fprintf(&b, "%-32s %12.1f\n", "virtual hours", s.Virtual.Hours())
	fmt.Fprintf(&b, "%-32s %12.1f\n", "longest to settle, s", s.Settle.Seconds())
	return b.String()
}
