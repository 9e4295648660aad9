package syncer

import (
	"slices"
	"time"
)

// A PeerStatus is how a peer stands, as far as this node has heard.
type PeerStatus struct {
	Node     string
	Version  string
	Heard    time.Time
	Offset   time.Duration // of its wall clock against ours, travel time included
	Live     bool          // heard lately, and not stopping
	Stopped  bool          // said that it stops
	Replica  bool          // it only follows
	Buckets  map[string]PeerBucket
	Sessions int // hellos and pulls under way with it
}

// A PeerBucket compares a bucket at a peer with ours.
type PeerBucket struct {
	InSync    bool
	Divergent bool   // equal clocks, unequal rows
	Behind    uint64 // own writes of the peer that are missing here
	Known     bool   // Behind is a number somebody told
}

// A PullStatus is a pull under way.
type PullStatus struct {
	Donor   string
	Started time.Time
	Rows    uint64 // of the donor's bucket, whether sent or not
	Entries uint64 // taken so far
	Bytes   uint64
}

// A BucketStatus is how far a bucket follows the others.
type BucketStatus struct {
	CatchingUp bool
	Behind     bool // live messages wait for a gap to close
	Pull       *PullStatus
	Serving    int
	Ended      int // origins in the clock that the fleet knows to be written no more
	Doubt      *DoubtStatus
}

// A DoubtStatus is a reconcile that would remove many rows, and waits for another
// donor that says the same; or a replica's bucket that is to be emptied, and waits
// for a master that has all that it holds. Either may wait for AcceptDoubt.
type DoubtStatus struct {
	Donors  []string // who has said so
	Removes uint64
	Rows    uint64 // of the bucket
	Empties bool   // all goes, and is fetched anew; the others are zero
}

// Peers returns what is known of every other node, by name.
func (e *Engine) Peers() map[string]PeerStatus {
	list := make(map[string]PeerStatus, len(e.peers))
	for name, p := range e.peers {
		if p.inst.Nonce.IsZero() {
			continue
		}
		s := PeerStatus{
			Node: name, Version: p.inst.Version, Heard: p.heard, Offset: p.offset, Stopped: p.gone, Replica: p.inst.Replica,
			Buckets: map[string]PeerBucket{},
		}
		s.Live = e.reachable(p) && !e.overdue(p)
		for bucket, pd := range p.digests {
			if e.holds(bucket) {
				s.Buckets[bucket] = e.compare(p, pd)
			}
		}
		list[name] = s
	}
	return list
}

func (e *Engine) compare(p *peer, pd *peerDigest) PeerBucket {
	if pd.last.Same(e.store.Durable(pd.last.Bucket)) {
		return PeerBucket{InSync: true, Known: true}
	}
	if e.diverges(pd.last.Bucket, p) {
		return PeerBucket{Divergent: true, Known: true}
	}
	if pd.last.Epoch == 0 {
		return PeerBucket{}
	}
	origin := originOf(p, pd)
	covered := e.store.Covered(pd.last.Bucket, origin)
	if covered < pd.last.Own {
		return PeerBucket{Behind: pd.last.Own - covered, Known: true}
	}
	return PeerBucket{}
}

// Bucket returns how a bucket follows the others.
func (e *Engine) Bucket(name string) BucketStatus {
	b := e.buckets[name]
	if b == nil {
		return BucketStatus{}
	}
	s := BucketStatus{CatchingUp: b.catchingUp, Behind: len(b.held) > 0 || len(b.behind) > 0}
	for o, seq := range e.finals[name] {
		if e.store.Covered(name, o) == seq {
			s.Ended++
		}
	}
	if p := b.pull; p != nil {
		s.Pull = &PullStatus{Donor: p.donor, Started: p.started, Rows: p.rows, Entries: p.entries, Bytes: p.bytes}
	}
	if d := b.doubt; d != nil && !d.accepted {
		s.Doubt = &DoubtStatus{Donors: slices.Clone(d.donors), Removes: d.Removes, Rows: d.Rows}
	} else if e.unsettled(b) {
		s.Doubt = &DoubtStatus{Empties: true}
	}
	for _, sv := range e.serves {
		if sv.bucket == name {
			s.Serving++
		}
	}
	return s
}
