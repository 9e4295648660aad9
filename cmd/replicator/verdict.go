package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"replicator/api"
)

// A state is how copies stand to each other; the worst of several counts.
type state int

const (
	equal state = iota
	behind
	divergent
)

var stateNames = [...]string{"equal", "behind", "divergent"}

func (s state) String() string { return stateNames[s] }

// MarshalText makes the state readable in JSON.
func (s state) MarshalText() ([]byte, error) { return []byte(s.String()), nil } //nolint:unparam // encoding's form

func (s state) exitCode() int {
	return [...]int{exitDone, exitBehind, exitDivergent}[s]
}

// A verdict is what verify found. It is what --json prints.
type verdict struct {
	State   state           `json:"state"` // of the copies that were compared
	Nodes   []string        `json:"nodes"`
	Silent  []silentNode    `json:"silent"`
	Buckets []bucketVerdict `json:"buckets"`
}

// A silentNode is a member that did not answer: how its copy stands nobody knows.
type silentNode struct {
	Node      string    `json:"node"`
	State     string    `json:"state"`      // as in MemberStatus
	LastHeard time.Time `json:"last_heard"` // by whoever heard it last; zero: never
}

// exitCode is that of the copies, or of one that is behind where a member did not
// answer: equality is not proven.
func (v *verdict) exitCode() int {
	if v.State == equal && len(v.Silent) > 0 {
		return exitBehind
	}
	return v.State.exitCode()
}

// silence finds the members that hold the bucket, or any where it is empty, and are
// not among those that answer. Who is evicted, has left or was forgotten is not
// missed.
func (v *verdict) silence(all []api.Status, bucket string) {
	heard := map[string]silentNode{}
	for i := range all {
		for j := range all[i].Members {
			m := &all[i].Members[j]
			known, before := heard[m.Node]
			if slices.Contains(v.Nodes, m.Node) || before && known.LastHeard.After(m.LastHeard) {
				continue
			}
			if slices.Contains(missed, m.State) && (bucket == "" || slices.Contains(m.Buckets, bucket)) {
				heard[m.Node] = silentNode{Node: m.Node, State: m.State, LastHeard: m.LastHeard}
			} else {
				delete(heard, m.Node)
			}
		}
	}
	v.Silent = make([]silentNode, 0, len(heard))
	for _, name := range slices.Sorted(maps.Keys(heard)) {
		v.Silent = append(v.Silent, heard[name])
	}
}

// missed are the states of members that should be there.
var missed = []string{"live", "stopped", "overdue"}

type bucketVerdict struct {
	Name  string        `json:"name"`
	State state         `json:"state"`
	Nodes []nodeVerdict `json:"nodes"`

	// How many copies are proven equal at the clock with this hash, lack writes, the
	// worst of them Lag, or differ from one that has taken the same.
	Equal     int          `json:"equal"`
	Clock     string       `json:"clock_hash"`
	Behind    int          `json:"behind"`
	Lag       uint64       `json:"lag"`
	Divergent int          `json:"divergent"`
	Keys      []keyVerdict `json:"keys,omitempty"` // under which they differ, at most 1000
	More      bool         `json:"more_keys,omitempty"`
}

// summary counts the copies.
func (b *bucketVerdict) summary() string {
	text := fmt.Sprintf("%d proven equal at clock %s, %d behind", b.Equal, b.Clock, b.Behind)
	if b.Behind > 0 {
		text += fmt.Sprintf(" (lag %d)", b.Lag)
	}
	return text + fmt.Sprintf(", %d divergent", b.Divergent)
}

// A nodeVerdict is how the copy of one node stands.
type nodeVerdict struct {
	Node   string            `json:"node"`
	Held   bool              `json:"held"` // false: it should hold the bucket and does not yet
	Keys   uint64            `json:"keys"`
	Clock  map[string]uint64 `json:"clock"`
	Ahead  string            `json:"ahead"`
	Hash   string            `json:"hash"`
	Pure   bool              `json:"pure"`
	Behind uint64            `json:"behind"` // writes that others have and it has not

	ClockHash string          `json:"clock_hash"`
	Bad       int             `json:"bad_rows"` // known not to be what was written
	Scrub     api.ScrubStatus `json:"scrub"`
	diverges  bool            // from one that has taken the same writes
}

// scrubbed says when all rows were read last.
func (n nodeVerdict) scrubbed() string {
	switch s := n.Scrub; {
	case s.Error != "":
		return "rows not read to the end: " + s.Error
	case s.Last == "":
		return "rows never read"
	default:
		return fmt.Sprintf("%d rows read %s, %d bad, %d sums put right", s.Rows, s.Last, s.Bad, s.Fixed)
	}
}

func (n nodeVerdict) String() string {
	switch {
	case !n.Held:
		return fmt.Sprintf("%s: does not hold it yet", n.Node)
	case n.Bad > 0:
		return fmt.Sprintf("%s: %d keys, hash %s, %d rows are not what was written", n.Node, n.Keys, n.Hash, n.Bad)
	case n.Behind > 0:
		return fmt.Sprintf("%s: %d keys, hash %s, %d writes behind", n.Node, n.Keys, n.Hash, n.Behind)
	}
	return fmt.Sprintf("%s: %d keys, hash %s", n.Node, n.Keys, n.Hash)
}

// compare judges the copies of every bucket.
func compare(all []api.NodeDigests) verdict {
	var v verdict
	buckets := map[string][]nodeVerdict{}
	for _, d := range all {
		v.Nodes = append(v.Nodes, d.Node)
		for _, b := range d.Buckets {
			buckets[b.Bucket] = append(buckets[b.Bucket], nodeVerdict{
				Node: d.Node, Held: true, Keys: b.Keys, Clock: b.Clock, Ahead: b.Ahead, Hash: b.Hash, Pure: b.Pure,
				ClockHash: b.ClockHash, Bad: b.Bad, Scrub: b.Scrub,
			})
		}
	}
	for name, nodes := range buckets {
		for _, d := range all {
			if lacks(d, name) {
				nodes = append(nodes, nodeVerdict{Node: d.Node})
			}
		}
		v.Buckets = append(v.Buckets, judge(name, nodes))
	}
	slices.SortFunc(v.Buckets, func(a, b bucketVerdict) int { return cmp.Compare(a.Name, b.Name) })
	for _, b := range v.Buckets {
		v.State = max(v.State, b.State)
	}
	return v
}

// lacks reports whether a node should hold a bucket and does not.
func lacks(d api.NodeDigests, bucket string) bool {
	if slices.Contains(d.Left, bucket) {
		return false
	}
	if len(d.Joins) > 0 && !slices.ContainsFunc(d.Joins, func(pattern string) bool { return api.Among(pattern, bucket) }) {
		return false
	}
	return !slices.ContainsFunc(d.Buckets, func(b api.BucketDigest) bool { return b.Bucket == bucket })
}

func judge(name string, nodes []nodeVerdict) bucketVerdict {
	join := map[string]uint64{}
	for _, n := range nodes {
		for origin, seq := range n.Clock {
			join[origin] = max(join[origin], seq)
		}
	}
	b := bucketVerdict{Name: name, Nodes: nodes}
	for i := range b.Nodes {
		n := &b.Nodes[i]
		for origin, seq := range join {
			n.Behind += seq - n.Clock[origin]
		}
		if n.Behind > 0 {
			b.State = max(b.State, behind)
		}
	}
	for i := range b.Nodes {
		for j := range i {
			s := between(b.Nodes[i], b.Nodes[j])
			if s == divergent {
				b.Nodes[i].diverges, b.Nodes[j].diverges = true, true
			}
			b.State = max(b.State, s)
		}
		if b.Nodes[i].Bad > 0 {
			b.State = divergent
		}
	}
	b.count()
	slices.SortFunc(b.Nodes, func(n, m nodeVerdict) int { return cmp.Compare(n.Node, m.Node) })
	return b
}

// count sorts the copies into equal, behind and divergent.
func (b *bucketVerdict) count() {
	for i := range b.Nodes {
		n := &b.Nodes[i]
		switch {
		case n.diverges || n.Bad > 0:
			b.Divergent++
		case !n.Held || n.Behind > 0 || !n.Pure && b.State != equal:
			b.Behind++
			b.Lag = max(b.Lag, n.Behind)
		default:
			b.Equal++
			b.Clock = n.ClockHash
		}
	}
	if b.Clock == "" {
		b.Clock = "none"
	}
}

// between judges two copies: equal promises with unequal rows are what must
// never be.
func between(n, m nodeVerdict) state {
	switch {
	case !n.Held || !m.Held:
		return equal // how far it is behind has been counted
	case !sameClock(n.Clock, m.Clock) || n.Ahead != m.Ahead:
		return behind
	case n.Hash != m.Hash && strings.Trim(n.Ahead, "0") != "":
		return behind // the highest extras are the same ones, not all of them
	case n.Hash != m.Hash:
		return divergent
	}
	return equal
}

func sameClock(a, b map[string]uint64) bool {
	if len(a) != len(b) {
		return false
	}
	for origin, seq := range a {
		if b[origin] != seq {
			return false
		}
	}
	return true
}
