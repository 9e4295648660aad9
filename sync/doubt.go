package syncer

import (
	"fmt"
	"slices"
	"time"

	"replicator/oplog"
)

// A DoubtfulError is, or is wrapped by, the Err of a PullEnded whose reconcile
// would have removed more rows than one donor is believed. Nothing of it was
// carried out; what was compared stays.
type DoubtfulError struct {
	Removes, Rows uint64 // so many of so many
}

func (e *DoubtfulError) Error() string {
	return fmt.Sprintf("the reconcile would remove %d of %d rows", e.Removes, e.Rows)
}

// A doubt is a reconcile whose end would have removed many rows. It waits for a
// donor that had no part in it, or for the operator: rule C7. A restart forgets
// it, and finds it again.
type doubt struct {
	DoubtfulError
	donors   []string    // who had a part in it
	gcv      oplog.Clock // what they have collected: who does not cover that cannot know better
	accepted bool        // by the operator
	unfit    map[string]unfit
}

// An unfit peer does not cover what the doubted donors have collected. It is
// asked again once its clock is another, but not at once.
type unfit struct {
	clock uint64
	until time.Time
}

// unfitPause is for how long a peer is not asked again that could not help.
const unfitPause = 10 * time.Second

// contributors returns whose rows the reconcile was compared with so far, this
// donor included. It is nil if an earlier process may have begun it.
func (b *bucket) contributors(p *pull) []string {
	switch {
	case p.token == nil:
		return []string{p.donor}
	case b.donors == nil || slices.Contains(b.donors, p.donor):
		return b.donors
	}
	return append(slices.Clip(b.donors), p.donor)
}

// mayContribute notes that the store is about to compare with the donor. Should
// it fail halfway, the donor may have had a part, and those before, too.
func (b *bucket) mayContribute(p *pull) {
	if b.donors != nil && !slices.Contains(b.donors, p.donor) {
		b.donors = append(b.donors, p.donor)
	}
}

// hasContributed notes that the token is of this session now.
func (b *bucket) hasContributed(p *pull) {
	b.startOver = false
	b.donors = b.contributors(p)
}

// undoubted reports whether the donor may be asked.
func (e *Engine) undoubted(b *bucket, p *peer) bool {
	d := b.doubt
	if d == nil || d.accepted {
		return true
	}
	if slices.Contains(d.donors, p.name) {
		return false
	}
	u, some := d.unfit[p.name]
	pd := p.digests[b.name]
	return !some || pd != nil && pd.last.Clock != u.clock && e.now.After(u.until)
}

// startsOver reports whether what was compared so far must not be gone on with:
// a doubted donor had a part in it, and another has to say the same alone.
func (b *bucket) startsOver() bool {
	d := b.doubt
	return b.startOver || d != nil && !d.accepted && (b.donors == nil || overlap(b.donors, d.donors))
}

// accepts returns how many rows may go at the end of p, for others have said so.
func (b *bucket) accepts(p *pull) uint64 {
	d := b.doubt
	if d == nil || !p.reconcile {
		return 0
	}
	if by := b.contributors(p); !d.accepted && (by == nil || overlap(by, d.donors)) {
		return 0
	}
	return d.Removes
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// doubted takes the end of a reconcile that would remove too many rows: another
// donor is asked from the first key on. A first opinion that an earlier process
// has heard a part of is nobody's, and is heard anew.
func (e *Engine) doubted(p *pull, err *DoubtfulError) {
	b := e.bucket(p.bucket)
	b.hasContributed(p)
	e.dropPull(b)
	if b.donors == nil {
		b.startOver = true
		e.want(b, p.donor, 0)
		return
	}
	b.doubt = &doubt{DoubtfulError: *err, donors: slices.Clone(b.donors), gcv: p.gate.GCV, unfit: map[string]unfit{}}
	e.do(Raise{
		Kind: EventDoubtful, Bucket: b.name, Peer: p.donor,
		Text: fmt.Sprintf("the reconcile of bucket %s with %s would remove %d of %d rows: it waits for another node that says the same, or for: replicator reconcile --accept --bucket %s",
			b.name, p.donor, err.Removes, err.Rows, b.name),
	})
	e.want(b, "", 0)
}

// fits reports whether the donor can know better than those in doubt. One that
// has not seen all the deletes they have collected cannot: what it still holds
// proves nothing, and after it they would have to be asked again.
func (e *Engine) fits(b *bucket, p *pull, clock oplog.Clock) bool {
	d := b.doubt
	if d == nil || d.accepted || clock.GE(d.gcv) {
		return true
	}
	if pd := e.peer(p.donor).digests[b.name]; pd != nil {
		d.unfit[p.donor] = unfit{clock: pd.last.Clock, until: e.now.Add(unfitPause)}
	}
	return false
}

// acceptDoubt is what an operator says of a doubt. What was compared is gone on
// with, by whoever comes first. A replica need not wait for a master any more.
func (e *Engine) acceptDoubt(bucket string) {
	b := e.buckets[bucket]
	switch {
	case b == nil:
	case b.doubt != nil:
		b.doubt.accepted = true
		e.want(b, b.doubt.donors[0], 0)
	case e.unsettled(b):
		e.empty(b, "", "as the operator wants it")
	}
}
