package syncer

import (
	"time"

	"replicator/oplog"
)

// A lineage is what is known of the starts of a peer's disk. Each process counts
// them up and names the one before, so a disk that went back, or runs twice,
// shows. Rule I3: it tells people; no data depends on it.
type lineage struct {
	since    time.Time   // when the present instance was first heard
	former   oplog.Nonce // the one before it
	replaced time.Time   // when that was first heard no more
	odd      EventKind   // what the present one looks like, if not a plain restart
	oddSince time.Time
	told     time.Time // of anything odd, so that twins do not fill the log
}

// lineagePause is how often at most one peer's lineage is told of.
const lineagePause = time.Hour

// followLineage compares a new instance of a peer with the one heard before.
// What looks odd may be a late message of a process that has ended, so it is
// told only once the instance is still heard prevHeard later.
func (e *Engine) followLineage(p *peer, inst *oplog.Instance) {
	l, last := &p.line, &p.inst
	l.since = e.now
	if last.Nonce.IsZero() {
		return // the first that is heard
	}
	back := inst.Nonce == l.former
	late := back && e.now.Sub(l.replaced) < prevHeard
	if !late {
		l.replaced = e.now // else twins that beat in turn would be late for ever
	}
	l.former, l.odd, l.oddSince = last.Nonce, "", e.now
	switch {
	case late || inst.Starts == 0 || last.Starts == 0:
	case back:
		e.tellLineage(p, EventCloned)
	case inst.Starts <= last.Starts, inst.Starts == last.Starts+1 && inst.Prev != last.Nonce:
		l.odd = EventRestored
	}
}

// outdated reports whether the instance has just been replaced by the one that
// is known, which the disk has had since: what comes of it was late.
func (e *Engine) outdated(p *peer, inst *oplog.Instance) bool {
	return inst.Starts > 0 && inst.Starts < p.inst.Starts && e.now.Sub(p.line.since) < prevHeard
}

// confirmLineage hears the present instance once more.
func (e *Engine) confirmLineage(p *peer) {
	if l := &p.line; l.odd != "" && e.now.Sub(l.oddSince) >= prevHeard {
		e.tellLineage(p, l.odd)
		l.odd = ""
	}
}

func (e *Engine) tellLineage(p *peer, kind EventKind) {
	if !p.line.told.IsZero() && e.now.Sub(p.line.told) < lineagePause {
		return
	}
	p.line.told = e.now
	text := p.name + " runs on another disk than before: an older one, a new one or a copy"
	if kind == EventCloned {
		text = "two running instances are named " + p.name + ": rename one of them"
	}
	e.do(Raise{Kind: kind, Peer: p.name, Text: text})
}

// noteLoss finds own writes in a donor's clock that this node does not have:
// they left it once, so they were on its disk. They come back with the pull.
func (e *Engine) noteLoss(bucket string, clocks ...oplog.Clock) {
	if e.lossTold || len(e.doubles) > 0 {
		return
	}
	for _, clock := range clocks {
		for o, seq := range clock {
			if o.Node != e.self.Node || seq <= e.store.Covered(bucket, o) {
				continue
			}
			e.lossTold = true
			e.do(Raise{
				Kind: EventRestored, Bucket: bucket, Peer: e.self.Node,
				Text: "others hold writes of " + e.self.Node + " that its disk does not: it is an older disk, a new one, or a copy of it was started",
			})
			return
		}
	}
}
