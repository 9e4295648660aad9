package syncer

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"replicator/oplog"
)

// An Engine decides for one node what to say and what to take. It is not safe
// for concurrent use: one loop feeds it.
type Engine struct {
	self  oplog.Instance
	opt   Options
	store Store

	online   bool
	stopping bool
	fenced   bool
	peers    map[string]*peer
	buckets  map[string]*bucket
	pulls    map[uint64]*pull    // by session
	hellos   map[uint64]*peer    // by session
	serves   map[serveKey]*serve // by who pulls
	reading  map[uint64]*serve   // by snapshot number
	members  map[string]*Member
	told     map[string]MemberState // what the last event said of a member that is silent
	retired  map[string]Retired     // who has left or was forgotten; never changed in place
	finals   map[string]oplog.Clock // by bucket, the last seqs of origins that are written no more; never changed in place
	handing  map[string]oplog.Clock // by bucket, what others must have before we leave
	handAt   time.Time              // when they are asked next
	doubles  map[oplog.Nonce]int64  // instances with our name: their wall clock when first heard
	joining  map[string]time.Time   // buckets asked to be joined, when
	spoken   map[string]bool        // buckets of users that others have spoken of
	left     map[string]bool        // buckets not held any more
	wrote    map[string]oplog.Clock // by bucket once left, what this node wrote there
	parting  map[string]bool        // buckets held that are about to be left
	beat     beat
	numbers  uint64    // snapshot numbers drawn
	stalls   int       // sessions served in a row whose pages were never acknowledged
	doubled  time.Time // when one of doubles was heard last
	lossTold bool      // others hold own writes that are not here, and people know
	started  time.Time // of the first step
	due      time.Time // when tick has something to do
	wake     time.Time // the last WakeAt

	onlineSince time.Time // of the last Connected

	// Only during a step.
	now time.Time
	rnd *rand.Rand
	out []Action
}

// New returns the engine of the instance self. Its first event should be
// Connected; until then it sends nothing.
func New(self oplog.Instance, store Store, o Options) *Engine {
	e := &Engine{
		self: self, opt: o.withDefaults(), store: store,
		peers: map[string]*peer{}, buckets: map[string]*bucket{},
		pulls: map[uint64]*pull{}, hellos: map[uint64]*peer{},
		serves: map[serveKey]*serve{}, reading: map[uint64]*serve{},
		doubles: map[oplog.Nonce]int64{}, joining: map[string]time.Time{}, spoken: map[string]bool{}, members: map[string]*Member{},
		told: map[string]MemberState{}, retired: o.Retired, left: map[string]bool{}, wrote: map[string]oplog.Clock{}, parting: map[string]bool{},
	}
	for _, name := range o.Left {
		e.left[name] = true
	}
	maps.Copy(e.wrote, o.Wrote)
	e.setFinals(o.Finals)
	for _, m := range o.Members {
		e.members[m.Node] = &m
	}
	return e
}

// Step takes one event at the time now and returns what has to be done. The
// same events, times and random numbers always give the same actions.
func (e *Engine) Step(now time.Time, rnd *rand.Rand, ev Event) []Action {
	e.now, e.rnd, e.out = now, rnd, nil
	if e.started.IsZero() {
		e.started = now
		e.mistrustMembers()
		e.recallEvicted()
	}
	e.handle(ev)
	if !e.due.IsZero() && !now.Before(e.due) {
		e.tick()
	}
	if !e.due.Equal(e.wake) && !e.due.IsZero() {
		e.wake = e.due
		e.do(WakeAt{e.due})
	}
	out := e.out
	e.rnd, e.out = nil, nil
	return out
}

func (e *Engine) handle(ev Event) {
	if bucket := about(ev); bucket != "" && !e.holds(bucket) {
		return // it was left meanwhile
	}
	switch ev := ev.(type) {
	case Connected:
		e.self.MaxPayload = ev.MaxPayload
		e.connected()
	case Disconnected:
		e.disconnected()
	case Heard:
		e.heard(ev)
	case NoResponders:
		e.noResponders(ev)
	case Lost:
		e.greetAll()
	case Tick:
		e.wake = time.Time{} // if it came too early, another is asked for
	case Joined:
		e.joined(ev.Bucket)
	case Parting:
		e.part(ev.Bucket)
	case Left:
		e.leaveBucket(ev.Bucket, ev.Wrote)
	case Synced:
		e.touch(ev.Bucket)
	case SyncNow:
		e.syncNow()
	case Stopping:
		e.stop()
	case Retirements:
		e.setRetired(ev.Nodes)
	case Finals:
		e.setFinals(ev.Clocks)
	case HandOver:
		e.handOver(ev.Buckets)
	case LiveApplied:
		e.liveApplied(ev)
	case PageApplied:
		e.pageApplied(ev)
	case PullEnded:
		e.pullEnded(ev)
	case Wiped:
		e.wiped(ev)
	case SnapshotOpened:
		e.snapshotOpened(ev)
	case PageRead:
		e.pageRead(ev)
	case Scrubbed:
		e.scrubEnded(ev)
	case Suspect:
		e.suspect(ev.Bucket)
	case ScrubNow:
		e.scrubNow(ev.Bucket)
	case RepairNow:
		e.repairNow(ev.Bucket)
	case AcceptDoubt:
		e.acceptDoubt(ev)
	}
}

func (e *Engine) do(a Action) { e.out = append(e.out, a) }

// at asks for a tick at t.
func (e *Engine) at(t time.Time) {
	if !t.IsZero() && (e.due.IsZero() || t.Before(e.due)) {
		e.due = t
	}
}

// passed reports whether t has come; if it has not, it asks for a tick then.
// A zero t never comes.
func (e *Engine) passed(t time.Time) bool {
	if t.IsZero() {
		return false
	}
	if e.now.Before(t) {
		e.at(t)
		return false
	}
	return true
}

// tick does everything that is due and finds out when it is needed next.
func (e *Engine) tick() {
	e.due = time.Time{}
	if !e.online || e.stopping {
		return
	}
	for _, name := range sorted(e.peers) {
		e.tickPeer(e.peers[name])
	}
	for _, name := range sorted(e.buckets) {
		e.tickBucket(e.buckets[name])
		e.tickCollect(e.buckets[name])
		e.tickMend(e.buckets[name])
	}
	for _, s := range e.sortedServes() {
		if e.passed(s.deadline) {
			e.stalled(s)
			e.closeServe(s)
		}
	}
	e.tickHandOver()
	if e.passed(e.beat.next) {
		e.sendBeat()
	}
}

func (e *Engine) connected() {
	e.online, e.onlineSince = true, e.now
	for _, name := range sorted(e.buckets) {
		e.tell(name)
	}
	e.beat.next = e.now
	e.at(e.now)
	e.greetAll()
}

// disconnected ends every session: their messages are lost.
func (e *Engine) disconnected() {
	e.online = false
	for _, name := range sorted(e.buckets) {
		if b := e.buckets[name]; b.pull != nil {
			e.dropPull(b)
			e.wantUnsettled(b)
		}
	}
	for _, s := range e.sortedServes() {
		e.closeServe(s)
	}
	for _, name := range sorted(e.peers) {
		e.peers[name].endHello(e)
	}
}

func (e *Engine) stop() {
	e.stopping = true // offline too: a connection that comes back changes nothing
	if e.online {
		e.sendBeat()
	}
	e.disconnected()
}

func (e *Engine) joined(name string) {
	delete(e.joining, name)
	delete(e.left, name)
	e.bucket(name).reconciling = e.halfReconciled(name)
	e.touch(name)
	e.greetAll()
}

// heard sorts out a message by what it is. What is not meant for us, or says
// another node or bucket than its subject, is dropped: the broker vouches for
// subjects, and lets a node ask for some buckets alone.
func (e *Engine) heard(h Heard) {
	if e.stopping || !e.online {
		return
	}
	switch m := h.Message.(type) {
	case *oplog.Heartbeat:
		if m.From.Node == h.From {
			e.hearBeat(m)
		}
	case *oplog.Live:
		if m.Origin.Node == h.From && m.Bucket == h.Bucket {
			e.hearLive(h.From, m, h.Size)
		}
	case *oplog.Hello:
		if m.From.Node == h.From && h.From != e.self.Node {
			e.hearHello(m, h.Reply)
		}
	case *oplog.Report:
		if m.From.Node == h.From && m.Bucket == h.Bucket {
			e.hearReport(m)
		}
	case *oplog.Compare:
		if m.Bucket == h.Bucket {
			e.hearCompare(h.From, m, h.Reply)
		}
	case *oplog.Pull:
		if m.Bucket == h.Bucket {
			e.hearPull(h.From, m, h.Reply)
		}
	case *oplog.Parts:
		if m.Bucket == h.Bucket {
			e.hearParts(h.From, m, h.Reply)
		}
	case *oplog.Ack:
		e.hearAck(m)
	case *oplog.Abort:
		e.hearAbort(h.From, m)
	default:
		if h.From == "" {
			e.hearAnswer(h.Message)
		}
	}
}

// hearAnswer takes what only comes as an answer to something we asked.
func (e *Engine) hearAnswer(m oplog.Message) {
	switch m := m.(type) {
	case *oplog.HelloReply:
		e.hearHelloReply(m)
	case *oplog.Differ:
		e.hearDiffer(m)
	case *oplog.Begin:
		e.hearBegin(m)
	case *oplog.Page:
		e.hearPage(m)
	case *oplog.End:
		e.hearEnd(m)
	case *oplog.Busy:
		e.hearBusy(m)
	case *oplog.Wait:
		e.hearWait(m)
	}
}

// session draws the name of a new session.
func (e *Engine) session() uint64 { return e.rnd.Uint64() | 1 }

// jitter draws a duration below d, full jitter as for colliding retries.
func (e *Engine) jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(e.rnd.Int64N(int64(d)))
}

// holds reports whether the bucket was joined. One that only lies on the disk,
// from a time when it was, is not held: nobody would apply its pages.
func (e *Engine) holds(bucket string) bool { return e.buckets[bucket] != nil }

// Holds reports whether a bucket was joined.
func (e *Engine) Holds(bucket string) bool { return e.holds(bucket) }

// meet asks for a bucket somebody spoke of, if this node is to hold it.
func (e *Engine) meet(bucket string) {
	reserved := strings.HasPrefix(bucket, "_") || bucket == "reply" || bucket == "apireply"
	if !reserved && len(e.spoken) < oplog.MaxBucket {
		e.spoken[bucket] = true
	}
	if reserved || e.holds(bucket) || e.left[bucket] || e.opt.Joins == nil || !e.opt.Joins(bucket) {
		return
	}
	asked, known := e.joining[bucket]
	if known && e.now.Sub(asked) < joinAgain || !known && len(e.joining) >= oplog.MaxBucket {
		return
	}
	e.joining[bucket] = e.now
	e.do(JoinBucket{bucket})
}

// joinAgain is how long a join that brought no Joined is left alone: the disk
// may have been full.
const joinAgain = time.Minute

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
