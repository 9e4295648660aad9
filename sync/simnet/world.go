package simnet

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"replicator/oplog"
	"replicator/store"
	"replicator/watch"
)

// A Config says how a world treats its nodes. The zero value is a world without
// faults.
type Config struct {
	Nodes    int
	Replicas int // how many of them, the last ones, only follow
	Buckets  []string
	Codec    oplog.Codec   // of all nodes; empty for one drawn for each
	Loss     float64       // of messages that never arrive
	Double   float64       // of messages that arrive twice
	Reorder  float64       // of messages that others may overtake
	Refuse   float64       // of merges, as by a disk that is full for a moment
	DelayMax time.Duration // of messages; at least 200µs
	SyncMax  time.Duration // of an fsync
	Skew     time.Duration // wall clocks differ from the world's by up to this
	Pebble   bool          // stores lie on the real Pebble, not on maps
	CutPages float64       // of pages with which a link is cut

	// What is done now and then.
	Collect bool // tombstones are collected by force
	Restore bool // nodes get older disks back
	Clone   bool // copies of a disk are started under the same name
	Slow    bool // disks and links become slow
	Full    bool // disks fill up
	Steps   bool // wall clocks are set
	Mixed   bool // what may be older than a collected delete is kept, deleted or parked
	Evict   bool // members that are away for a minute do not count
	Retire  bool // members are forgotten, and readmitted
	Rot     bool // rows are damaged on their disk
	Expire  bool // some writes have an end
	Part    bool // nodes leave a bucket and come back to it

	Away time.Duration // for how long they do; 0: for some seconds
	Fold int           // of how many ended origins the fleet is told at once; 0: of the usual number

	DoubtFloor int  // of stores, as in store.Options
	Operator   bool // who accepts, after a while, what a reconcile would remove

	Readers int          // how many watch each bucket
	Watch   watch.Limits // of what waits for each

	Tune func(*Node) // changes options before a node starts
}

// A World holds nodes, the network between them and everything that has yet to
// happen.
type World struct {
	cfg    Config
	rnd    *rand.Rand
	now    time.Time
	queue  agenda
	serial uint64

	nodes []*Node
	cut   map[[2]int]bool // from, to: nothing passes
	slow  map[[2]int]time.Duration
	quiet bool // no more faults: messages all arrive, in order
	last  map[[2]int]time.Time

	readers []*reader
	reading *rand.Rand // for what they do: it changes nothing of what nodes do

	ledger  *Ledger
	damaged map[string]bool // bucket/key of rows that were
	Trace   func(string)    // called for each thing that happens, if set
	mended  time.Time       // when all rows were last asked to be read
	Tap     Tap             // is given each message as it arrives, if set

	// Counters of what really happened, so that a fault that never fired shows.
	Stats Stats
}

// epochStart is when every world begins.
var epochStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// NewWorld returns a world whose nodes are named a, b, c ... and not started.
func NewWorld(seed uint64, cfg Config) *World {
	w := &World{
		cfg: cfg, rnd: rand.New(rand.NewPCG(seed, 0x5eed)), reading: rand.New(rand.NewPCG(seed, 0x4ead)), now: epochStart,
		cut: map[[2]int]bool{}, slow: map[[2]int]time.Duration{}, last: map[[2]int]time.Time{}, ledger: newLedger(),
		damaged: map[string]bool{},
	}
	if w.cfg.DelayMax == 0 {
		w.cfg.DelayMax = 5 * time.Millisecond
	}
	if w.cfg.SyncMax == 0 {
		w.cfg.SyncMax = 2 * time.Millisecond
	}
	for i := range cfg.Nodes {
		w.nodes = append(w.nodes, newNode(w, i))
	}
	w.addReaders()
	return w
}

func (w *World) newDisk() medium {
	if w.cfg.Pebble {
		return newFiles()
	}
	return memory{store.NewMap()}
}

// End frees what the world holds. It must not be used any more.
func (w *World) End() {
	for _, r := range w.readers {
		r.cut()
	}
	for _, n := range w.nodes {
		if n.up {
			n.report(n.donor.CloseAll())
		}
		n.disk.end()
		if n.backup != nil {
			n.backup.end()
		}
	}
}

// Node returns the i-th node.
func (w *World) Node(i int) *Node { return w.nodes[i] }

// Now returns the world's time.
func (w *World) Now() time.Time { return w.now }

func (w *World) note(format string, args ...any) {
	if w.Trace != nil {
		w.Trace(fmt.Sprintf("%9.3fs ", w.now.Sub(epochStart).Seconds()) + fmt.Sprintf(format, args...))
	}
}

// An appointment is something that will happen.
type appointment struct {
	at     time.Time
	serial uint64 // first come, first served
	do     func()
}

type agenda []appointment

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	if a[i].at.Equal(a[j].at) {
		return a[i].serial < a[j].serial
	}
	return a[i].at.Before(a[j].at)
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(appointment)) }
func (a *agenda) Pop() any {
	old := *a
	x := old[len(old)-1]
	old[len(old)-1] = appointment{}
	*a = old[:len(old)-1]
	return x
}

// after makes do happen d from now.
func (w *World) after(d time.Duration, do func()) {
	w.serial++
	heap.Push(&w.queue, appointment{at: w.now.Add(d), serial: w.serial, do: do})
}

// Run lets d of virtual time pass.
func (w *World) Run(d time.Duration) {
	end := w.now.Add(d)
	w.RunUntil(end, func() bool { return false })
}

// RunUntil lets time pass until done reports true or end has come, and reports
// whether done did.
func (w *World) RunUntil(end time.Time, done func() bool) bool {
	for len(w.queue) > 0 && !w.queue[0].at.After(end) {
		next := heap.Pop(&w.queue).(appointment)
		w.Stats.Virtual += next.at.Sub(w.now)
		w.now = next.at
		w.Stats.Count[Steps]++
		next.do()
		if done() {
			return true
		}
	}
	w.Stats.Virtual += max(end.Sub(w.now), 0)
	w.now = end
	return done()
}

// Cut stops everything from one node to another.
func (w *World) Cut(from, to int) {
	w.cut[[2]int{from, to}] = true
	w.Stats.Count[OneWay]++
	w.note("cut %s -> %s", w.nodes[from].name, w.nodes[to].name)
}

// Part cuts two nodes from each other.
func (w *World) Part(a, b int) {
	w.cut[[2]int{a, b}], w.cut[[2]int{b, a}] = true, true
	w.Stats.Count[TwoWay]++
	w.note("cut %s <-> %s", w.nodes[a].name, w.nodes[b].name)
}

// Heal ends every cut and lets the slow be fast again.
func (w *World) Heal() {
	clear(w.cut)
	clear(w.slow)
	for _, n := range w.nodes {
		n.ease()
	}
	w.note("heal")
}

// Calm ends all faults for good: cuts heal, copies end, nodes start, messages
// arrive.
func (w *World) Calm() {
	w.Heal()
	w.quiet = true
	w.retireClones()
	for _, n := range w.nodes {
		if !n.up {
			n.Start()
		}
	}
	if len(w.damaged) > 0 {
		w.repair()
	}
}

// carry brings a body from one node to another, or does not.
func (w *World) carry(from, to, size int, deliver func()) {
	w.Stats.Count[Messages]++
	w.Stats.Count[Bytes] += size
	link := [2]int{from, to}
	if w.cut[link] {
		return
	}
	if !w.quiet && w.rnd.Float64() < w.cfg.Loss {
		w.Stats.Count[Lost]++
		return
	}
	times := 1
	if !w.quiet && w.rnd.Float64() < w.cfg.Double {
		times = 2
		w.Stats.Count[Doubled]++
	}
	for range times {
		w.after(w.delay(link), func() {
			if !w.cut[link] {
				deliver()
			}
		})
	}
}

// unheard reports whether the server tells the sender that nobody listens: for a
// node that is down, and as often as not for one whose link is cut.
func (w *World) unheard(from int, to *Node) bool {
	if w.cut[[2]int{to.index, from}] {
		return false
	}
	away := !to.up || w.cut[[2]int{from, to.index}] && w.rnd.IntN(2) == 0
	if away {
		w.Stats.Count[Unheard]++
	}
	return away
}

// delay keeps the order of a link, as NATS keeps that of a publisher, unless
// the message is picked for reordering.
func (w *World) delay(link [2]int) time.Duration {
	d := 200*time.Microsecond + time.Duration(w.rnd.Int64N(int64(w.cfg.DelayMax))) + w.slow[link]
	if !w.quiet && w.rnd.Float64() < w.cfg.Reorder {
		w.Stats.Count[Reordered]++
		return d + time.Duration(w.rnd.Int64N(int64(10*w.cfg.DelayMax)))
	}
	at := w.now.Add(d)
	if at.Before(w.last[link]) {
		at = w.last[link]
	}
	w.last[link] = at
	return at.Sub(w.now)
}

func (w *World) nonce() oplog.Nonce {
	var n oplog.Nonce
	for i := range n {
		n[i] = byte(w.rnd.Uint32())
	}
	return n
}
