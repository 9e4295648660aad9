package syncer

import (
	"time"

	"replicator/oplog"
)

// A lineage is what is known of the starts of a peer's disk. Each process counts
// them up and names the one before, so a disk that went back, or runs twice,
// shows. Rule I3: it tells people; no data depends on it.
type lineage struct {
	inst     oplog.Instance // that the disk was last known to have, late messages of others aside
	since    time.Time      // when it was first heard
	former   oplog.Nonce    // the instance before it
	replaced time.Time      // when that was first heard no more
	odd      EventKind      // what inst looks like, if not a plain restart
	told     time.Time      // of anything odd, so that twins do not fill the log
}

// lineagePause is how often at most one peer's lineage is told of.
const lineagePause = time.Hour

// followLineage compares the instance that speaks with the one known before. What
// looks odd may be a late message of a process that has ended, so it is told only
// once the instance is still heard prevHeard later.
func (e *Engine) followLineage(p *peer, inst *oplog.Instance) {
	switch l := &p.line; {
	case inst.Nonce == l.inst.Nonce:
		if l.odd != "" && e.now.Sub(l.since) >= prevHeard {
			e.tellLineage(p, l.odd)
			l.odd = ""
		}
	case l.inst.Nonce.IsZero():
		l.inst, l.since = *inst, e.now
	case inst.Starts > 0 && inst.Starts < l.inst.Starts && e.now.Sub(l.since) < prevHeard:
		// It had the disk before the one that has just been heard first.
	default:
		e.replaceInstance(p, inst)
	}
}

func (e *Engine) replaceInstance(p *peer, inst *oplog.Instance) {
	l, last := &p.line, p.line.inst
	back := inst.Nonce == l.former
	late := back && e.now.Sub(l.replaced) < prevHeard
	if !late {
		l.replaced = e.now // else twins that beat in turn would be late for ever
	}
	l.inst, l.since, l.former, l.odd = *inst, e.now, last.Nonce, ""
	switch {
	case late || inst.Starts == 0 || last.Starts == 0:
	case back:
		e.tellLineage(p, EventCloned)
	case inst.Starts <= last.Starts, inst.Starts == last.Starts+1 && inst.Prev != last.Nonce:
		l.odd = EventRestored
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
			if o.Node != e.self.Node || seq <= max(e.store.Covered(bucket, o), e.wrote[bucket][o]) {
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
