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
	Removes, Rows uint64   // so many of so many
	Going         []uint64 // hashes of those that would go, ascending; of very many, not all
	Limit         uint64   // so many may go that nobody else names
}

func (e *DoubtfulError) Error() string {
	return fmt.Sprintf("the reconcile would remove %d of %d rows", e.Removes, e.Rows)
}

// A Consent is what others than the donors of a reconcile have said of what it
// removes: rows by their hashes, ascending, and how many the operator lets go.
type Consent struct {
	Rows []uint64
	Most uint64
}

// A doubt is a reconcile whose end would have removed many rows. It waits for a
// donor that had no part in it and says the same of them, or for the operator: rule
// C7. A restart forgets it, and finds it again.
type doubt struct {
	opinion             // the last one
	earlier []opinion   // of others
	gcv     oplog.Clock // what the last donors have collected: who does not cover that cannot know better
	unfit   map[string]unfit

	// What the operator has let go: rows by their hashes, whoever names them, and so
	// many of the last donors' that have none. While accepted nobody else is asked.
	agreed   []uint64
	rest     uint64
	accepted bool
}

// An opinion is what a reconcile would have removed.
type opinion struct {
	DoubtfulError
	donors   []string // who had a part in it
	seconded bool     // others have named enough of its rows by now to let it end
}

// maxOpinions is how many are remembered beside the last one.
const maxOpinions = 4

func (d *doubt) opinions() []opinion { return append(slices.Clip(d.earlier), d.opinion) }

// saidBut returns what was said to go by those in which none of the donors had a part.
func (d *doubt) saidBut(donors []string) []uint64 {
	var rows []uint64
	for _, o := range d.opinions() {
		if !overlap(o.donors, donors) {
			rows = append(rows, o.Going...)
		}
	}
	slices.Sort(rows)
	return slices.Compact(rows)
}

// add takes a further opinion. One that the same donors had before is no more.
func (d *doubt) add(o opinion) {
	d.earlier = slices.DeleteFunc(d.opinions(), func(e opinion) bool { return overlap(e.donors, o.donors) })
	if more := len(d.earlier) - maxOpinions; more > 0 {
		d.earlier = slices.Delete(d.earlier, 0, more)
	}
	d.opinion = o
	d.seconded = d.isSeconded(&d.opinion)
	for i := range d.earlier {
		d.earlier[i].seconded = d.isSeconded(&d.earlier[i])
	}
}

func (d *doubt) isSeconded(o *opinion) bool {
	others, alone := d.saidBut(o.donors), o.Removes
	for _, row := range o.Going {
		if _, both := slices.BinarySearch(others, row); both {
			alone--
		}
	}
	return alone <= o.Limit
}

// An unfit peer does not cover what the doubted donors have collected. It is
// asked again once its clock is another, but not at once.
type unfit struct {
	clock uint64
	until time.Time
	pause time.Duration // the next one is twice as long
}

// unfitPause is for how long a peer is not asked again that could not help, the first
// time.
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
	for _, o := range d.opinions() {
		if slices.Contains(o.donors, p.name) && !o.seconded {
			return false
		}
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

// accepts returns which rows may go at the end of p, for others have said so.
func (b *bucket) accepts(p *pull) (c Consent) {
	d := b.doubt
	if d == nil || !p.reconcile {
		return c
	}
	by := b.contributors(p)
	if by != nil {
		c.Rows = d.saidBut(by)
	}
	if slices.Equal(by, d.donors) && d.accepted {
		c.Most = d.rest
	}
	c.Rows = append(c.Rows, d.agreed...)
	slices.Sort(c.Rows)
	return c
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// doubted takes the end of a reconcile that would remove too many rows: another
// donor is asked from the first key on. An opinion that an earlier process has heard
// a part of, or that several donors have a part in, is nobody's, and is heard anew.
func (e *Engine) doubted(p *pull, err *DoubtfulError) {
	b := e.bucket(p.bucket)
	b.hasContributed(p)
	e.dropPull(b)
	if len(b.donors) != 1 {
		b.startOver = true
		e.want(b, p.donor, 0)
		return
	}
	said := opinion{DoubtfulError: *err, donors: slices.Clone(b.donors)}
	if b.doubt == nil {
		b.doubt = &doubt{opinion: said}
	} else {
		b.doubt.add(said)
	}
	b.doubt.gcv, b.doubt.accepted, b.doubt.unfit = p.gate.GCV, false, map[string]unfit{}
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
		pause := min(max(2*d.unfit[p.donor].pause, unfitPause), e.opt.BackoffMax)
		d.unfit[p.donor] = unfit{clock: pd.last.Clock, until: e.now.Add(pause), pause: pause}
	}
	return false
}

// acceptDoubt is what an operator says of a doubt, who has seen how many rows go:
// those rows may, in this reconcile, whoever names them. What was compared is gone on
// with. A replica need not wait for a master any more.
func (e *Engine) acceptDoubt(ev AcceptDoubt) {
	b := e.buckets[ev.Bucket]
	switch {
	case b == nil:
	case ev.Empties && e.unsettled(b):
		e.empty(b, Wipe{Bucket: b.name}, "", "as the operator wants it")
	case !ev.Empties && b.doubt != nil && b.doubt.Removes <= ev.Most:
		d := b.doubt
		d.accepted, d.rest = true, d.Removes-uint64(len(d.Going))
		d.agreed = append(d.agreed, d.Going...)
		e.want(b, b.doubt.donors[0], 0)
	}
}
