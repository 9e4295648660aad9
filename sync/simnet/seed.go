package simnet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"replicator/store"
	syncer "replicator/sync"
	"replicator/watch"
)

// A History is a random course of a random world.
type History struct {
	Seed   uint64
	Turns  int          // ends it after so many; 0 for as many as the seed says
	Pebble bool         // stores lie on the real Pebble, on files in memory
	Trace  func(string) // is given each thing that happens, if not nil
}

// Run runs the history and checks it throughout: Cover and equal rows at every
// turn, what readers are told with each event, and everything equal, and known to them,
// once the faults have ended.
func (h History) Run() (Stats, error) {
	rnd := rand.New(rand.NewPCG(h.Seed, 0xfa17))
	cfg := randomConfig(rnd)
	cfg.Pebble = h.Pebble
	if h.Seed%8 == 3 { // not drawn: the other seeds stay what they are
		cfg.Retire, cfg.Buckets = true, append(cfg.Buckets, syncer.Fleet)
		cfg.Fold = 1 + int(h.Seed/8%3)
	}
	cfg.DoubtFloor, cfg.Operator = int(h.Seed%4)-1, true // 0 is the usual one, above what a bucket here holds
	cfg.Expire = h.Seed%5 == 2
	cfg.Part = h.Seed%7 == 4
	// Of rows that were lost with a disk and such that rotted none could be told.
	cfg.Rot = h.Seed%3 == 0 && !cfg.Restore && !cfg.Clone && !cfg.Part
	if tune := cfg.Tune; cfg.Fold > 0 {
		cfg.Tune = func(n *Node) {
			tune(n)
			n.Options.FoldAt, n.Options.CollectEvery, n.Options.ReportAfter = cfg.Fold, 5*time.Second, 10*time.Second
		}
	}
	cfg.Readers, cfg.Watch = 1+int(h.Seed%3), watch.Limits{Events: 2 + int(h.Seed%7), Bytes: 1 << (7 + h.Seed%6), Remembered: 4096}
	w := NewWorld(h.Seed, cfg)
	defer w.End()
	w.Trace = h.Trace
	for _, n := range w.nodes {
		if rnd.IntN(5) > 0 {
			n.Start()
		}
	}
	turns := 27 + rnd.IntN(48)
	if h.Turns > 0 {
		turns = min(turns, h.Turns)
	}
	for i := 0; i < turns || h.Turns == 0 && w.Stats.Count[Steps] < minSteps; i++ {
		w.turn(rnd)
		w.stir()
		if err := w.Check(); err != nil {
			return w.Stats, err
		}
	}
	w.Calm()
	calm := w.now
	if !w.RunUntil(w.now.Add(settleTime), w.Settled) {
		return w.Stats, fmt.Errorf("not settled %s after the last fault: %s", settleTime, w.digests())
	}
	w.Stats.Settle = w.now.Sub(calm)
	if err := w.AtRest(); err != nil {
		return w.Stats, err
	}
	if w.collectsWhatAllHave() && len(w.damaged) == 0 && w.Stats.Count[Reissued]+w.Stats.Count[Reconciles]+w.Stats.Count[Wipes] > 0 {
		return w.Stats, fmt.Errorf("%d writes issued again, %d reconciles, %d replicas emptied, though only what all have was collected",
			w.Stats.Count[Reissued], w.Stats.Count[Reconciles], w.Stats.Count[Wipes])
	}
	if told := w.Stats.Count[ToldRestored] + w.Stats.Count[ToldCloned]; told > 0 && !w.lostDisks() {
		return w.Stats, fmt.Errorf("%d alarms of other disks, but nobody's was changed", told)
	}
	if err := errors.Join(w.drain(), w.resume()); err != nil {
		return w.Stats, err
	}
	if h.Seed%4 != 0 { // else a quarter of the time would go into silence
		return w.Stats, nil
	}
	return w.Stats, errors.Join(w.idle(), w.drain(), w.resume())
}

// minSteps is what a history has at least: one in which hardly anything runs is
// no test.
const minSteps = 300

// idle lets a settled fleet alone and verifies that it has nothing more to say
// but heartbeats, and that no session was left open.
func (w *World) idle() error {
	w.Run(5 * time.Minute) // beats that come later and later may still cause a hello
	talked := w.Stats.Count[Talk]
	w.Run(10 * time.Minute)
	if w.Stats.Count[Talk] != talked {
		return fmt.Errorf("at rest: %d messages that are no heartbeats in ten minutes: %s", w.Stats.Count[Talk]-talked, w.digests())
	}
	for _, n := range w.nodes {
		for _, bucket := range w.cfg.Buckets {
			if s := n.engine.Bucket(bucket); s.Pull != nil || s.Serving > 0 || s.Behind || s.CatchingUp {
				return fmt.Errorf("at rest: %s/%s is %+v", n.name, bucket, s)
			}
		}
		if open := n.donor.Sessions(); open > 0 {
			return fmt.Errorf("at rest: %s holds %d snapshots", n.name, open)
		}
	}
	return errors.Join(w.AtRest(), w.allCollected())
}

// allCollected verifies that a fleet left alone has forgotten every delete.
// Those of a clock that runs ahead have to wait for it.
func (w *World) allCollected() error {
	if w.cfg.Skew > 0 || w.cfg.Steps || w.lostDisks() {
		return nil
	}
	for _, n := range w.nodes {
		for _, bucket := range w.cfg.Buckets {
			b, _ := n.store.Bucket(bucket)
			some, err := b.Collectable()
			if err != nil {
				return err
			}
			if some {
				return fmt.Errorf("at rest: %s/%s still holds tombstones: %s", n.name, bucket, w.digests())
			}
		}
	}
	return nil
}

// lostDisks reports whether the world has lost what was on some disk: what
// others heard of it may be missing for good.
func (w *World) lostDisks() bool { return w.Stats.Count[Restores]+w.Stats.Count[Clones] > 0 }

// collectsWhatAllHave reports whether nothing was collected in the world but
// what every node had seen: then there is nothing to reconcile.
func (w *World) collectsWhatAllHave() bool {
	return !w.cfg.Collect && !w.cfg.Evict && !w.cfg.Part && !w.cfg.Retire && !w.cfg.Steps && !w.lostDisks()
}

// settleTime is within what virtual time a healed fleet has to be equal. It
// allows for clocks that restarts have set back to the longest heartbeat pause.
const settleTime = time.Minute

func randomConfig(rnd *rand.Rand) Config {
	cfg := Config{
		Nodes:    3 + rnd.IntN(2),
		Buckets:  []string{"orders"},
		DelayMax: time.Duration(1+rnd.IntN(200)) * time.Millisecond,
		SyncMax:  time.Duration(1+rnd.IntN(50)) * time.Millisecond,
	}
	if rnd.IntN(10) == 0 {
		cfg.Nodes += 1 + rnd.IntN(5)
	}
	if rnd.IntN(3) == 0 {
		cfg.Buckets = append(cfg.Buckets, "stock")
	}
	if rnd.IntN(4) > 0 {
		cfg.Loss = rnd.Float64() * 0.2
		cfg.Double = rnd.Float64() * 0.1
		cfg.Reorder = rnd.Float64() * 0.1
	}
	if rnd.IntN(3) == 0 {
		cfg.Refuse = rnd.Float64() * 0.2
	}
	if rnd.IntN(3) == 0 {
		cfg.Skew = time.Duration(1+rnd.IntN(7200)) * time.Second
		if rnd.IntN(4) == 0 {
			cfg.Skew = 24 * time.Hour
		}
	}
	if rnd.IntN(4) == 0 {
		cfg.CutPages = rnd.Float64() * 0.2
	}
	cfg.Collect, cfg.Restore, cfg.Clone = rnd.IntN(2) == 0, rnd.IntN(4) == 0, rnd.IntN(8) == 0
	cfg.Slow, cfg.Full, cfg.Steps = rnd.IntN(4) == 0, rnd.IntN(4) == 0, rnd.IntN(5) == 0
	cfg.Evict = rnd.IntN(5) == 0
	cfg.Mixed = rnd.IntN(2) == 0
	if rnd.IntN(3) == 0 {
		cfg.Replicas = rnd.IntN(cfg.Nodes)
		cfg.Collect = cfg.Collect || rnd.IntN(2) == 0
	}
	small, compared := rnd.IntN(2) == 0, rnd.IntN(3) == 0
	cfg.Tune = func(n *Node) {
		n.Options = syncer.Options{}
		if small {
			// Small limits make windows, cuts, overflows and sub-hashes common.
			n.Options = syncer.Options{
				PageBytes: 600, Window: 1200, CutBytes: 2000, LogOrderMax: 8,
				GapBuffer: 2000, ApplyBuffer: 2000, Serves: 2, WipeTries: 1,
			}
		}
		if compared {
			n.Options.CompareAbove = 2
		}
		if cfg.Evict {
			n.Options.EvictAfter, n.Options.EvictReplicasAfter, n.Options.CollectEvery = time.Minute, 20*time.Second, 5*time.Second
		}
	}
	return cfg
}

// turn does one thing to the world and lets some time pass.
func (w *World) turn(rnd *rand.Rand) {
	n := w.nodes[rnd.IntN(len(w.nodes))]
	m := w.nodes[rnd.IntN(len(w.nodes))]
	switch rnd.IntN(20) {
	case 0:
		if rnd.IntN(3) == 0 {
			n.Stop()
		} else {
			n.Crash()
		}
	case 1, 2, 3:
		n.Start()
	case 4:
		if n != m {
			w.Part(n.index, m.index)
		}
	case 5:
		if n != m {
			w.Cut(n.index, m.index)
		}
	case 6, 7:
		w.Heal()
	case 8:
		for range 40 {
			n.Write(w.bucket(rnd), w.op(rnd))
		}
	case 9, 10:
		w.wear(n, rnd)
		if w.cfg.Rot {
			w.rot(n, rnd)
		}
	case 11:
		w.trouble(n, m, rnd)
	default:
		ops := make([]store.Op, 1+rnd.IntN(4))
		for i := range ops {
			ops[i] = w.op(rnd)
		}
		n.Write(w.bucket(rnd), together(rnd, ops)...)
	}
	pause := []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 300 * time.Millisecond, 4 * time.Second}
	w.Run(pause[rnd.IntN(len(pause))])
	if w.cfg.Collect && w.cfg.Replicas > 0 && rnd.IntN(2) == 0 { // they meet little that is old
		w.nodes[w.cfg.Nodes-1].Collect(w.bucket(rnd))
	}
	if rnd.IntN(40) == 0 {
		w.Run(2 * time.Minute)
	}
}

// wear does to a node what time does: tombstones go, disks break.
func (w *World) wear(n *Node, rnd *rand.Rand) {
	if w.cfg.Collect {
		n.Collect(w.bucket(rnd))
	}
	if !w.cfg.Restore {
		return
	}
	switch rnd.IntN(4) {
	case 0:
		n.Restore()
	case 1:
		n.Backup()
	}
}

// trouble does what some worlds know beside cuts and crashes.
func (w *World) trouble(n, m *Node, rnd *rand.Rand) {
	if w.cfg.Slow {
		n.Brake(time.Duration(1+rnd.IntN(3000)) * time.Millisecond)
		w.Delay(n.index, m.index, time.Duration(1+rnd.IntN(8000))*time.Millisecond)
	}
	if w.cfg.Full {
		n.Fill()
	}
	if w.cfg.Clone && len(w.nodes) < 2*w.cfg.Nodes {
		n.Copy()
	}
	if w.cfg.Retire {
		w.retireOrReadmit(n, m)
	}
	if w.cfg.Part {
		n.Part(w.cfg.Buckets[0])
	}
	if w.cfg.Steps {
		n.SetClock(clocks[rnd.IntN(len(clocks))])
	}
}

// clocks are what wall clocks are set to, beside the world's time.
var clocks = []time.Duration{
	0, 0, time.Minute, -time.Minute, 24 * time.Hour, -24 * time.Hour,
	time.Date(1970, 1, 1, 0, 0, 1, 0, time.UTC).Sub(epochStart),
	time.Date(2106, 2, 8, 0, 0, 0, 0, time.UTC).Sub(epochStart),
}

func (w *World) bucket(rnd *rand.Rand) string { return w.cfg.Buckets[rnd.IntN(len(w.cfg.Buckets))] }

func (w *World) op(rnd *rand.Rand) store.Op {
	op := store.Op{Key: []byte("key-")}
	for range rnd.IntN(4) { // keys that begin like others are common
		op.Key = append(op.Key, byte('a'+rnd.IntN(2)))
	}
	if rnd.IntN(4) == 0 {
		op.Delete = true
		return op
	}
	if w.cfg.Expire && rnd.IntN(3) == 0 {
		op.Expiry = w.now.Add(time.Duration(rnd.IntN(180)-30) * time.Second).UnixMilli()
	}
	size := rnd.IntN(60)
	if rnd.IntN(20) == 0 {
		size = liveLimit + rnd.IntN(4000) // too large for a live message: announced
	}
	op.Value = make([]byte, size)
	for i := range op.Value {
		op.Value[i] = byte(rnd.IntN(256))
	}
	if size%4 == 1 { // drawing nothing leaves the histories of old seeds as they are
		op.Type = fmt.Sprint("x/", size)
	}
	return op
}

// digests describes where the nodes stand, for a run that does not settle.
func (w *World) digests() string {
	var text strings.Builder
	for _, bucket := range w.cfg.Buckets {
		for _, n := range w.nodes {
			if !n.up {
				fmt.Fprintf(&text, "\n  %s is down", n.name)
				continue
			}
			if !n.holds(bucket) {
				fmt.Fprintf(&text, "\n  %s does not hold %s", n.name, bucket)
				continue
			}
			b, _ := n.store.Bucket(bucket)
			fmt.Fprintf(&text, "\n  %s/%s clock %v ahead %v durable %+v engine %+v",
				n.name, bucket, b.Clock(), b.Ahead(), b.Durable(), n.engine.Bucket(bucket))
		}
	}
	return text.String()
}
