package model

import "fmt"

// A clock is by origin: up to which seq its holder has all writes. A list of
// ended origins has the same shape.
type clock [3]uint8

func (c clock) ge(d clock) bool { return c.join(d) == c }

func (c clock) join(d clock) clock {
	for o := range c {
		c[o] = max(c[o], d[o])
	}
	return c
}

func (c clock) meet(d clock) clock {
	for o := range c {
		c[o] = min(c[o], d[o])
	}
	return c
}

// but leaves out the rows for which out holds.
func (c clock) but(d clock, out func(c, d uint8) bool) clock {
	for o := range c {
		if out(c[o], d[o]) {
			c[o] = 0
		}
	}
	return c
}

func (c clock) above(d clock) clock { return c.but(d, func(c, d uint8) bool { return c <= d }) }
func (c clock) fold(d clock) clock  { return c.but(d, func(c, d uint8) bool { return c == d }) }

func (c clock) rows() (n int) {
	for _, seq := range c {
		if seq > 0 {
			n++
		}
	}
	return n
}

// FoldVariants break rule I5.
var FoldVariants = []Variant{
	{"fold-any-list", "promise"},
	{"fold-uncovered", "promise"},
	{"unfold-own-list", "promise"},
	{"begin-of-another-pull", "promise"},
	{"report-taken-with-other-list", "collects"},
	{"final-trusted", "promise"},
	{"fold-never", "longer"},
}

// Fold is rule I5. Nodes write, hear each other live, pull, and send reports. What
// a list says is anybody's guess: each node is told anything at any time, so lists
// are behind, differ, are too high for one node and too low for another. Once a
// node may go back to an older disk.
//
// A report stays on the road until the next one takes its place, a begin until its
// pull is over: it comes late, twice, or never. That an earlier one comes after a later one is the
// same as that the later one never came; a begin of a pull of before comes to nothing.
type Fold struct {
	Variant              string
	Nodes, Origins, Seqs uint8
}

// A FoldState is the state of a fleet under I5.
type FoldState struct {
	clock, had [3]clock // what each node claims, and what it has in truth
	list       [3]clock // the list as each node knows it
	heard      [3][3]clock
	noted      [3][3]note // the reports, as they were put together again
	pull       [3]pull
	begin      [3]folded // to whom
	report     [3][3]folded
	older      uint8 // 1 + who went back to an older disk
}

// A pull is what its puller remembers of it.
type pull struct {
	donor       uint8 // 1 + the node, 0: there is none
	list, clock clock
}

type note struct {
	clock clock
	there bool
}

// A folded is a clock as it travels. Whole is what it was, and is not sent.
type folded struct {
	rows, whole, list clock
	there, folded     bool
	stale             bool // of a pull of before
}

// Start implements [Model].
func (m Fold) Start() FoldState { return FoldState{} }

// send folds rows, which are of the clock whole, for a node that has said list.
func (m Fold) send(own, list, whole, rows clock) (folded, string) {
	f := folded{rows: rows, whole: whole, there: true}
	same, covered := own == list || m.Variant == "fold-any-list", whole.ge(own) || m.Variant == "fold-uncovered"
	f.folded = own != clock{} && same && covered && m.Variant != "fold-never"
	if f.folded {
		f.rows, f.list = rows.fold(own), own
	}
	if own == list && whole.ge(own) && rows.fold(own).rows() < f.rows.rows() {
		return f, fmt.Sprintf("longer: %v is sent as %v, though both have the list %v", whole, f.rows, own)
	}
	return f, ""
}

// Next implements [Model].
func (m Fold) Next(s FoldState, step func(Op, FoldState, string)) {
	for n := range m.Nodes {
		for o := range m.Origins {
			m.nextOf(s, n, o, step)
		}
		if s.older == 0 && s.clock[n] != (clock{}) {
			step(Op{"% goes back to an older disk", [3]uint8{n}}, m.restored(s, n), "")
		}
		for p := range m.Nodes {
			if p != n {
				m.nextWith(s, n, p, step)
			}
		}
		m.takeBegin(s, n, step)
	}
}

// nextOf is what may happen at a node with an origin: writes, live messages, and
// what it is told of its end.
func (m Fold) nextOf(s FoldState, n, o uint8, step func(Op, FoldState, string)) {
	author := o % m.Nodes
	next := s
	next.clock[n][o]++
	next.had[n][o] = next.clock[n][o]
	switch {
	case n == author && s.clock[n][o] < m.Seqs && s.older != n+1: // its origins end with that disk
		step(Op{"% writes o%:%", [3]uint8{n, o, next.clock[n][o]}}, next, "")
	case n != author && s.had[author][o] > s.clock[n][o]:
		step(Op{"% hears o%:% live", [3]uint8{n, o, next.clock[n][o]}}, next, "")
	}
	for seq := range m.Seqs + 1 {
		if told := s; s.list[n][o] != seq {
			told.list[n][o] = seq
			if m.Variant == "final-trusted" {
				told.clock[n] = told.clock[n].join(told.list[n])
			}
			step(Op{"% is told that o% ends at %", [3]uint8{n, o, seq}}, told, "")
		}
	}
}

// nextWith is what may happen between two nodes.
func (m Fold) nextWith(s FoldState, n, p uint8, step func(Op, FoldState, string)) {
	args := [3]uint8{n, p}
	if next := s; s.heard[n][p] != s.list[p] {
		next.heard[n][p] = s.list[p]
		step(Op{"% hears which list % has", args}, next, "")
	}
	next := s
	next.pull[n] = pull{p + 1, s.list[n], s.clock[n]}
	if next.begin[n].stale = s.begin[n].there; m.Variant != "begin-of-another-pull" {
		next.begin[n] = folded{} // is dropped when it comes
	}
	step(Op{"% asks % for what it lacks", args}, next, "")
	var wrong string
	if next := s; s.pull[n].donor == p+1 {
		next.begin[n], wrong = m.send(s.list[p], s.pull[n].list, s.clock[p], s.clock[p].above(s.pull[n].clock))
		step(Op{"% is answered by %", args}, next, wrong)
	}
	next = s
	next.report[n][p], wrong = m.send(s.list[n], s.heard[n][p], s.clock[n], s.clock[n])
	step(Op{"% sends a report to %", args}, next, wrong)
	if r := s.report[p][n]; r.there && (!r.folded || r.list == s.list[n] || m.Variant == "report-taken-with-other-list") {
		wrong, next = "", s
		if r.folded {
			r.rows = r.rows.join(s.list[n])
		}
		if next.noted[n][p] = (note{r.rows, true}); r.rows != r.whole {
			wrong = fmt.Sprintf("report: %d notes %v of %d, which sent %v", n, r.rows, p, r.whole)
		}
		step(Op{"% takes the report of %", args}, next, wrong)
	}
}

// takeBegin has a node take a begin, and all that follows it: the end of a pull.
func (m Fold) takeBegin(s FoldState, n uint8, step func(Op, FoldState, string)) {
	b, p := s.begin[n], s.pull[n]
	if !b.there || p.donor == 0 {
		return
	}
	list := p.list
	if m.Variant == "unfold-own-list" {
		list = s.list[n]
	}
	if b.folded {
		b.rows = b.rows.join(list)
	}
	next, wrong := s, ""
	next.pull[n], next.begin[n] = pull{}, folded{}
	next.had[n], next.clock[n] = s.had[n].join(b.whole), s.clock[n].join(b.rows)
	if !next.clock[n].ge(b.whole) {
		wrong = fmt.Sprintf("less: %d takes %v, of what was %v", n, b.rows, b.whole)
	}
	step(Op{"% takes all that it was answered", [3]uint8{n}}, next, wrong)
}

// restored has a node start from a disk of when it covered one write of an origin
// at most. Its sessions are over, and others hear at once that it is another
// instance (S7, G1).
func (m Fold) restored(s FoldState, n uint8) FoldState {
	s.older = n + 1
	s.clock[n] = s.clock[n].meet(clock{1, 1, 1})
	s.had[n], s.heard[n], s.noted[n] = s.clock[n], [3]clock{}, [3]note{}
	s.report[n] = [3]folded{}
	for p := range m.Nodes {
		s.noted[p][n] = note{}
		if p == n || s.pull[p].donor == n+1 {
			s.pull[p], s.begin[p] = pull{}, folded{}
		}
	}
	return s
}

// Check implements [Model]: a clock is a promise, and no node may find that all
// have what one lacks.
func (m Fold) Check(s FoldState) string {
	for n := range m.Nodes {
		if !s.had[n].ge(s.clock[n]) {
			return fmt.Sprintf("promise: the clock of %d is %v, it has %v", n, s.clock[n], s.had[n])
		}
		stable, known := s.clock[n], true
		for p := range m.Nodes {
			if r := s.noted[n][p]; p != n {
				known = known && r.there && s.clock[n].ge(r.clock)
				stable = stable.meet(r.clock)
			}
		}
		for p := range m.Nodes {
			if known && !s.had[p].ge(stable) {
				return fmt.Sprintf("collects: %d collects up to %v, %d has %v", n, stable, p, s.had[p])
			}
		}
	}
	return ""
}
