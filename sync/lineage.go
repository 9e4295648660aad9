package syncer

import (
	"time"

	"replicator/oplog"
)

// A lineage is what is known of the starts of a peer's disk. Each process counts
// them up and names the one before, so a disk that went back, or runs twice,
// shows. Rule I3: it tells people; no data depends on it.
type lineage struct {
	former   oplog.Nonce // the instance before the present one
	replaced time.Time   // when that was last heard
	told     time.Time   // of anything odd, so that twins do not fill the log
}

// lineagePause is how often at most one peer's lineage is told of.
const lineagePause = time.Hour

// followLineage compares a new instance of a peer with the one heard before.
func (e *Engine) followLineage(p *peer, inst *oplog.Instance) {
	l, last := &p.line, &p.inst
	if last.Nonce.IsZero() {
		return // the first that is heard
	}
	back := inst.Nonce == l.former
	late := back && e.now.Sub(l.replaced) < prevHeard // messages of a process that has ended
	l.former, l.replaced = last.Nonce, e.now
	switch {
	case late || inst.Starts == 0 || last.Starts == 0:
	case back:
		e.tellLineage(p, EventCloned, "two running instances are named "+p.name+": rename one of them")
	case inst.Starts <= last.Starts, inst.Starts == last.Starts+1 && inst.Prev != last.Nonce:
		e.tellLineage(p, EventRestored, p.name+" runs on another disk than before: an older one, a new one or a copy")
	}
}

func (e *Engine) tellLineage(p *peer, kind EventKind, text string) {
	if !p.line.told.IsZero() && e.now.Sub(p.line.told) < lineagePause {
		return
	}
	p.line.told = e.now
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
