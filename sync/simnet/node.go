package simnet

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"replicator/carry"
	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
	"replicator/watch"
)

// A Node is one master in a world: the real engine and store, and a disk that
// survives what the node does not.
type Node struct {
	w       *World
	index   int
	name    string
	skew    time.Duration // of the wall clock against the world's
	started time.Duration // the skew when the engine began: its time has no steps
	replica bool          // it never writes
	policy  store.Policy  // of what may be older than a collected delete
	clone   bool          // a copy of another node, with its name
	codec   oplog.Codec
	Options syncer.Options

	disk   medium
	backup medium // of Backup
	ticket store.Ticket
	up     bool
	life   int // counts starts: appointments of an earlier life are void

	kv       store.KV // under the store
	store    *store.Store
	engine   *syncer.Engine
	retired  map[string]syncer.Retired // as the engine was told
	donor    *carry.Donor
	applies  map[string][]syncer.Action // by bucket, asked for and not yet carried out
	wakes    int                        // counts WakeAt: a new one replaces the one before
	fenced   bool
	waiting  map[string][]group // committed groups by bucket, not yet synced
	dirty    bool               // something is committed and not synced
	syncing  bool
	diskFree time.Time     // when all that the disk was asked for is done
	slow     time.Duration // what the disk takes longer for anything
	full     bool
	refused  bool      // a replica has met what it can neither take nor leave out
	ordered  bool      // by the operator: that a replica is emptied
	away     time.Time // since when the node is down

	parting   map[string]bool               // buckets that are being left
	witnesses map[string]*witness           // by bucket, of this life
	hubs      map[string]*watch.Hub         // likewise
	queued    map[string][]oplog.Dot        // likewise, all changes in their order
	back      map[string]map[oplog.Dot]bool // of those, such that put back what was before
	marks     map[string]mark               // by bucket
	events    []syncer.Raise
	torn      map[string]tearing // by bucket, over restarts
	donors    map[uint64]string  // by session
	problem   error              // the first broken promise that only an onlooker sees
}

// A group is a commit group whose live message leaves once it is on disk.
type group struct {
	bucket  string
	written store.Written
}

func newNode(w *World, i int) *Node {
	n := &Node{
		w: w, index: i, name: nameOf(i), disk: w.newDisk(), codec: oplog.Msgpack, marks: map[string]mark{}, torn: map[string]tearing{},
	}
	if w.rnd.IntN(10) == 0 {
		n.codec = oplog.JSON
	}
	if w.cfg.Mixed {
		n.policy = []store.Policy{store.Keep, store.Delete, store.Park}[w.rnd.IntN(3)]
	}
	n.replica = i >= w.cfg.Nodes-w.cfg.Replicas && i < w.cfg.Nodes
	if w.cfg.Codec != "" {
		n.codec = w.cfg.Codec
	}
	if w.cfg.Skew > 0 {
		n.skew = time.Duration(w.rnd.Int64N(int64(2*w.cfg.Skew))) - w.cfg.Skew
		w.Stats.Count[SkewedClocks]++
	}
	if w.cfg.Tune != nil {
		w.cfg.Tune(n)
	}
	return n
}

// nameOf returns a, b ... z, a1, b1 ...
func nameOf(i int) string {
	name := string(rune('a' + i%26))
	if i >= 26 {
		name += strconv.Itoa(i / 26)
	}
	return name
}

// Name returns the node's name.
func (n *Node) Name() string { return n.name }

// Up reports whether the node runs.
func (n *Node) Up() bool { return n.up }

// Store returns the store of a running node.
func (n *Node) Store() *store.Store { return n.store }

// Engine returns the engine of a running node.
func (n *Node) Engine() *syncer.Engine { return n.engine }

// Events returns what the engine raised since the last start.
func (n *Node) Events() []syncer.Raise { return n.events }

func (n *Node) wall() time.Time { return n.w.now.Add(n.skew) }

// steady is the engine's time, which goes on evenly when the wall clock is set,
// as the monotonic clock of a real process does.
func (n *Node) steady() time.Time { return n.w.now.Add(n.started) }

// Start opens the store on the node's disk and connects.
func (n *Node) Start() {
	if n.up {
		return
	}
	nonce := n.w.nonce()
	n.kv = n.disk.open()
	if n.replica {
		clear(n.marks) // what it cannot judge it empties, also when it is opened
	}
	st, err := store.Open(n.kv, n.wall(), store.Options{
		Node: n.name, Nonce: nonce, Epoch: func() uint64 { return n.w.rnd.Uint64() | 1 }, Ticket: n.ticket, Replica: n.replica,
		Ambiguous: n.policy, DoubtFloor: n.w.cfg.DoubtFloor,
	})
	n.ticket = store.Ticket{}
	if err != nil {
		panic(fmt.Sprintf("simnet: open %s: %v", n.name, err))
	}
	for _, b := range n.w.cfg.Buckets {
		if slices.Contains(st.Left(), b) {
			continue
		}
		if _, err := st.Join(b); err != nil {
			panic(fmt.Sprintf("simnet: join %s: %v", b, err))
		}
	}
	if n.life == 0 {
		n.introduce(st)
	}
	n.up, n.store, n.donor = true, st, carry.NewDonor(st)
	if n.life++; n.life > 1 {
		n.w.Stats.Count[Restarts]++
		n.countReturn()
	}
	n.started = n.skew
	n.fenced, n.dirty, n.syncing, n.ordered = false, false, false, false
	n.donors = map[uint64]string{}
	n.waiting, n.applies, n.events = map[string][]group{}, map[string][]syncer.Action{}, nil
	n.witnesses, n.hubs, n.parting = map[string]*witness{}, map[string]*watch.Hub{}, map[string]bool{}
	n.queued, n.back = map[string][]oplog.Dot{}, map[string]map[oplog.Dot]bool{}
	for _, b := range st.Buckets() {
		n.witness(b)
		n.openHub(b)
	}
	self := oplog.Instance{
		Node: n.name, Nonce: nonce, Prev: st.PrevNonce(), Started: n.w.now.UnixMilli(), Version: "sim",
		Starts: st.Starts(), Replica: n.replica,
	}
	o := n.Options
	if o.Members, err = carry.Members(st); err != nil {
		panic(fmt.Sprintf("simnet: members of %s: %v", n.name, err))
	}
	if n.retired, err = carry.Retired(st); err != nil {
		panic(fmt.Sprintf("simnet: retired members of %s: %v", n.name, err))
	}
	o.Retired, o.Finals = n.retired, n.finals()
	o.Left, o.Wrote, o.Joins = st.Left(), st.Wrote(), func(string) bool { return true }
	n.engine = syncer.New(self, carry.View{Store: st}, o)
	n.w.note("%s starts", n.name)
	n.step(syncer.Connected{MaxPayload: 1 << 20})
	for _, b := range n.w.cfg.Buckets {
		if n.holds(b) {
			n.step(syncer.Joined{Bucket: b})
		} else {
			n.comeBack(b)
		}
	}
}

// introduce makes the others known to a node that starts for the first time, on
// disk: nodes that know each other never have to reconcile, and that is checked.
func (n *Node) introduce(st *store.Store) {
	for _, m := range n.w.nodes {
		if m == n {
			continue
		}
		err := st.SaveMember(store.Member{Node: m.name, Heard: n.wall(), Buckets: n.w.cfg.Buckets, Replica: m.replica})
		if err != nil {
			panic(fmt.Sprintf("simnet: member of %s: %v", n.name, err))
		}
	}
	if err := st.Sync(); err != nil {
		panic(fmt.Sprintf("simnet: sync: %v", err))
	}
}

// Crash ends the node as a power cut does: of the commits that were not synced
// only some of the oldest remain.
func (n *Node) Crash() {
	if !n.up {
		return
	}
	n.settleMarks()
	n.sendReadersAway()
	n.report(n.donor.CloseAll()) // what is half read would stay in memory for ever
	unsynced, lost := n.disk.crash(n.w.rnd)
	n.tornAgain()
	n.end()
	n.w.Stats.Count[Crashes]++
	n.w.Stats.Count[LostCommits] += lost
	n.w.note("%s crashes, loses %d of %d unsynced commits", n.name, lost, unsynced)
}

// Stop ends the node as an operator does: what waits for the disk is synced and
// published, the store is closed, and a ticket lies in the machine's memory.
func (n *Node) Stop() {
	if !n.up || n.full {
		return
	}
	n.report(n.store.Sync())
	for _, bucket := range n.w.cfg.Buckets {
		for _, g := range n.waiting[bucket] {
			n.publish(g)
		}
	}
	n.step(syncer.Stopping{})
	n.sendReadersAway()
	n.report(n.donor.CloseAll())
	n.settleMarks()
	var err error
	n.ticket, err = n.store.CloseWithTicket()
	n.report(err)
	n.end()
	n.w.Stats.Count[Stops]++
	if !n.ticket.IsZero() {
		n.w.Stats.Count[Tickets]++
	}
	n.w.note("%s stops", n.name)
}

// end ends the node's life.
func (n *Node) end() {
	n.up, n.store, n.engine, n.donor = false, nil, nil, nil
	n.away = n.w.now
	n.ease()
	n.life++
}

// later makes do happen unless the node's life has ended by then.
func (n *Node) later(d time.Duration, do func()) {
	life := n.life
	n.w.after(d, func() {
		if n.life == life {
			do()
		}
	})
}

// Write commits operations as one group. They are acknowledged, and leave the
// node, when the fsync that follows has ended.
func (n *Node) Write(bucket string, ops ...store.Op) {
	if !n.up || n.fenced || n.refuses(bucket) || n.parting[bucket] {
		return
	}
	b, ok := n.store.Bucket(bucket)
	if !ok {
		return
	}
	written, err := b.Write(n.wall(), ops)
	if n.replica {
		n.mustNotWrite(err)
		return
	}
	if n.full {
		n.mustRefuse(err)
		return
	}
	if err != nil {
		panic(fmt.Sprintf("simnet: write: %v", err))
	}
	n.w.Stats.Count[Writes] += len(written.Entries)
	n.countBatch(written)
	for _, e := range written.Entries {
		n.w.ledger.issue(bucket, e)
		if e.Expiry > 0 {
			n.w.Stats.Count[Ends]++
		}
		n.w.note("%s writes %s/%q tombstone=%v %s", n.name, bucket, e.Key, e.Tombstone, e.Stamp)
	}
	n.changed(bucket, written.Changes, byLive)
	n.hubs[bucket].QueueOwn(written)
	n.waiting[bucket] = append(n.waiting[bucket], group{bucket, written})
	n.heed(bucket)
	n.fsync()
}

// liveLimit is small, so that announced writes are common.
const liveLimit = 2048

func (n *Node) publish(g group) {
	for _, e := range g.written.Entries {
		n.w.ledger.acknowledge(g.bucket, e)
	}
	w := g.written
	m := syncer.NewLive(g.bucket, n.store.Nonce(), w.Entries, w.First, w.Last, w.Origin, liveLimit)
	if m == nil {
		return
	}
	if m.Announced() {
		n.w.Stats.Count[Announced]++
	}
	p := n.encode(m)
	for _, to := range n.w.nodes {
		n.send(to, p, syncer.Heard{From: n.name, Bucket: g.bucket})
	}
}

// step feeds the engine one event and carries out what it asks for.
func (n *Node) step(ev syncer.Event) {
	for _, a := range n.engine.Step(n.steady(), n.w.rnd, ev) {
		n.act(a)
	}
}

// count notes which roads of the protocol were taken.
func (n *Node) count(m oplog.Message) {
	switch m := m.(type) {
	case *oplog.Report:
		n.countFolded(m.Folded)
	case *oplog.Begin:
		n.countFolded(m.Folded)
	case *oplog.Page:
		n.w.Stats.Count[Pages]++
	case *oplog.Differ:
		n.w.Stats.Count[Compared]++
	case *oplog.End:
		if m.Cut {
			n.w.Stats.Count[Cutoffs]++
		}
	}
}

func (n *Node) countFolded(folded bool) {
	if folded {
		n.w.Stats.Count[Folded]++
	}
}

func (n *Node) act(a syncer.Action) {
	switch a := a.(type) {
	case syncer.Beat:
		p := n.encode(a.Message)
		for _, to := range n.w.nodes {
			n.send(to, p, syncer.Heard{From: n.name, Bucket: "_fleet"})
		}
	case syncer.Send:
		n.w.Stats.Count[Talk]++
		n.count(a.Message)
		n.donors[a.Session] = a.To
		n.w.note("%s -> %s %s %s", n.name, a.To, a.Bucket, describe(a.Message))
		reply := fmt.Sprintf("%s.%d", n.name, a.Session)
		heard := false
		for _, to := range n.w.named(a.To) {
			n.send(to, n.encode(a.Message), syncer.Heard{From: n.name, Bucket: a.Bucket, Reply: reply})
			heard = !n.w.unheard(n.index, to) || heard
		}
		if !heard {
			n.later(n.moment(), func() { n.step(syncer.NoResponders{Session: a.Session}) })
		}
	case syncer.Answer:
		name, _, _ := strings.Cut(a.Reply, ".")
		n.w.note("%s -> %s answer %s", n.name, name, describe(a.Message))
		n.count(a.Message)
		p := n.encode(a.Message)
		for _, to := range n.w.named(name) {
			n.send(to, p, syncer.Heard{})
			n.w.maybeCutPage(n.index, to.index, a.Message)
		}
	case syncer.WakeAt:
		n.wakes++
		wake := n.wakes
		n.later(max(a.Time.Sub(n.steady()), 0), func() {
			if wake == n.wakes {
				n.step(syncer.Tick{})
			}
		})
	case syncer.Fence:
		n.w.Stats.Count[Fences]++
		n.fenced = true
	case syncer.TellFinals:
		n.tellFinals(a)
	case syncer.NewEpoch:
		n.store.NewEpoch()
	case syncer.Raise:
		switch a.Kind {
		case syncer.EventCatchingUp:
			n.w.Stats.Count[Overflows]++
		case syncer.EventRestored:
			n.w.Stats.Count[ToldRestored]++
		case syncer.EventCloned:
			n.w.Stats.Count[ToldCloned]++
		case syncer.EventDivergence:
			n.w.Stats.Count[Diverged]++
		case syncer.EventDoubtful:
			n.w.Stats.Count[Doubted]++
			n.callOperator(a.Bucket, 0)
		case syncer.EventUnsettled:
			n.callOperator(a.Bucket, emptyPause)
		}
		n.events = append(n.events, a)
		n.w.note("%s event %s %s: %s", n.name, a.Kind, a.Bucket, a.Text)
	default:
		n.actOnStore(a)
	}
}

// named returns the nodes that listen under the name: one, or its copies too.
func (w *World) named(name string) []*Node {
	var list []*Node
	for _, n := range w.nodes {
		if n.name == name {
			list = append(list, n)
		}
	}
	return list
}
