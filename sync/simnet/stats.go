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
	Messages
	Bytes
	Talk // messages that are no heartbeats

	Lost
	Doubled
	Reordered
	Cuts
	Unheard // the server told that nobody listens
	Crashes
	LostCommits
	Refusals // of a full disk
	FullDisks
	SlowDisks
	SlowLinks
	CutPages // a link is cut as a page leaves
	ClockSteps
	Restarts
	Restores  // of an older disk
	Clones    // of a disk, started under the same name
	Fences    // of the younger of two instances
	Evictions // a collection without a member that was away for too long
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
	Reissued
	DeletedAgain // of those, as a delete
	Denied       // writes to a replica
	Wipes        // of a replica that cannot issue again

	kinds
)

var names = [kinds]string{
	Steps: "steps", Writes: "writes", Messages: "messages", Bytes: "bytes", Talk: "messages that are no heartbeats",
	Lost: "messages lost", Doubled: "messages doubled", Reordered: "messages out of order", Cuts: "links cut, one way each",
	Unheard: "answers that nobody listens", Crashes: "crashes", LostCommits: "commits lost in them",
	Refusals: "batches refused by a full disk", FullDisks: "disks that fill up", SlowDisks: "slow disks", SlowLinks: "slow links",
	CutPages: "links cut as a page leaves", ClockSteps: "steps of a wall clock", Restarts: "restarts",
	Restores: "older disks put back", Clones: "copies of a disk started", Fences: "younger doubles fenced",
	Evictions: "collections without a member", Forced: "tombstones collected by force",
	Pulls: "pulls", Pages: "pages", Cutoffs: "streams cut", Compared: "clocks compared by parts", Announced: "announced writes", Batches: "atomic batches",
	Overflows: "overflows of the gap buffer", Stable: "stable tombstones collected", Reconciles: "reconciles",
	Reissued: "writes issued again", DeletedAgain: "of those as deletes", Denied: "writes to a replica", Wipes: "replicas emptied",
}

func (k Kind) String() string { return names[k] }

// Faults counts what was done to the world on purpose, beside what a lossy
// network does to single messages.
func (s *Stats) Faults() int {
	n := 0
	for _, k := range []Kind{Cuts, CutPages, Crashes, FullDisks, SlowDisks, SlowLinks, ClockSteps, Restores, Clones} {
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
