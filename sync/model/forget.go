package model

import "fmt"

// The node that dies, with its origin, and the one other origin there is.
const (
	dead  = 0
	lives = 1
	nodes = 3
)

// ForgetVariants break rule I6.
var ForgetVariants = []Variant{
	{"forget-raises-clock", "cover"},
	{"forget-drops-extras", "lost"},
	{"forget-hides-extras", "equal"},
	{"closed-write-refused", "lost"},
	{"pure-is-proof", "equal"},
}

// Forget is rule I6. Three nodes hold two keys, of which the first two write. They
// hear each other live, and pull: whole, or cut behind the first key, which leaves
// extras above holes. The first one dies at any time, with what only it has, and
// comes back with its disk, or does not. Each node hears at its own time, or
// never, that it was forgotten, or is a member again.
type Forget struct {
	Variant string
	Seqs    [2]uint8 // how many writes there are of each origin
}

// A dot is 4 times the origin plus the seq; 0 is none.
type dot uint8

func (d dot) origin() int { return int(d) / 4 }
func (d dot) seq() uint8  { return uint8(d) % 4 }

// A ForgetState is the state of a fleet under I6.
type ForgetState struct {
	key, hlc     [8]uint8 // of each write, by dot; no hlc: not written yet
	row          [nodes][2]dot
	clock, ahead [nodes][2]uint8
	closed       [nodes]bool // by node: it knows the first one as forgotten
	down, died   bool
	best         [2]dot // the latest that a node which did not die ever held
}

// Start implements [Model].
func (m Forget) Start() ForgetState { return ForgetState{} }

// later reports whether a wins over b.
func (s *ForgetState) later(a, b dot) bool {
	return s.hlc[a] > s.hlc[b] || s.hlc[a] == s.hlc[b] && a > b
}

// merge takes one write. What it beats is gone, what it does not beat counts as received.
func (s *ForgetState) merge(n int, d dot) {
	if k := s.key[d]; s.later(d, s.row[n][k]) {
		s.row[n][k] = d
	}
	if o := d.origin(); d.seq() > s.clock[n][o] {
		s.ahead[n][o] = max(s.ahead[n][o], d.seq())
	}
}

// cover raises a clock.
func (s *ForgetState) cover(n, o int, seq uint8) {
	if s.clock[n][o] = max(s.clock[n][o], seq); s.ahead[n][o] <= s.clock[n][o] {
		s.ahead[n][o] = 0
	}
}

// pull has n take from d the rows above its clock, of the first keys, in order. A whole pull
// ends with the join of clocks and of what is ahead.
func (m Forget) pull(s *ForgetState, n, d, keys int) {
	asked := s.clock[n]
	refused := func(o int) bool {
		return m.Variant == "closed-write-refused" && s.closed[n] && o == dead
	}
	for _, row := range s.row[d][:keys] {
		if o := row.origin(); row != 0 && row.seq() > asked[o] && !refused(o) {
			s.merge(n, row)
		}
	}
	for o := range asked {
		if keys == 2 && !refused(o) {
			s.ahead[n][o] = max(s.ahead[n][o], s.ahead[d][o])
			s.cover(n, o, s.clock[d][o])
		}
	}
}

// Next implements [Model].
func (m Forget) Next(s ForgetState, step func(Op, ForgetState, string)) {
	do := func(op Op, change func(*ForgetState)) {
		next := s
		change(&next)
		for k := range next.best {
			for n := range nodes {
				if row := next.row[n][k]; n != dead && next.later(row, next.best[k]) {
					next.best[k] = row
				}
			}
		}
		if next != s {
			step(op, next, "")
		}
	}
	for o, seqs := range m.Seqs {
		for k := range uint8(2) {
			if seq := s.clock[o][o] + 1; seq <= seqs && (o != dead || !s.died) { // a start is another origin
				do(Op{"% writes its %, to key %", [3]uint8{uint8(o), seq, k}}, func(s *ForgetState) { s.write(o, seq, k) })
			}
		}
	}
	for n := range nodes {
		m.nextAt(s, n, do)
	}
	if !s.died {
		do(Op{Verb: "0 dies"}, func(s *ForgetState) { s.down, s.died = true, true })
	} else if s.down {
		do(Op{Verb: "0 comes back with its disk"}, func(s *ForgetState) { s.down = false })
	}
}

func (s *ForgetState) write(o int, seq, key uint8) {
	d := dot(4*o) + dot(seq)
	s.key[d], s.hlc[d] = key, 1+max(s.hlc[s.row[o][0]], s.hlc[s.row[o][1]])
	s.merge(o, d)
	s.cover(o, o, seq)
}

// nextAt is what may happen at a node: it hears of a write or of a member, or pulls.
func (m Forget) nextAt(s ForgetState, n int, do func(Op, func(*ForgetState))) {
	arg := uint8(n)
	verb := "% hears that 0 was forgotten"
	if s.closed[n] {
		verb = "% hears that 0 is a member again"
	}
	do(Op{verb, [3]uint8{arg}}, func(s *ForgetState) { m.turn(s, n) })
	if s.down && n == dead {
		return
	}
	for o := range m.Seqs {
		if seq := s.clock[n][o] + 1; seq <= s.clock[o][o] && (o != dead || !s.died) {
			do(Op{"% hears the write % of % live", [3]uint8{arg, seq, uint8(o)}}, func(s *ForgetState) {
				s.merge(n, dot(4*o)+dot(seq))
				s.cover(n, o, seq)
			})
		}
	}
	for d := range nodes {
		if d != n && (d != dead || !s.down) {
			do(Op{"% pulls from %", [3]uint8{arg, uint8(d)}}, func(s *ForgetState) { m.pull(s, n, d, 2) })
			do(Op{"% pulls from %, cut behind key 0", [3]uint8{arg, uint8(d)}}, func(s *ForgetState) { m.pull(s, n, d, 1) })
		}
	}
}

// turn has a node hear that the first one was forgotten, or is a member again.
func (m Forget) turn(s *ForgetState, n int) {
	if s.closed[n] = !s.closed[n]; !s.closed[n] {
		return
	}
	switch m.Variant {
	case "forget-raises-clock":
		s.cover(n, dead, s.ahead[n][dead])
	case "forget-hides-extras":
		s.ahead[n][dead] = 0
	case "forget-drops-extras":
		s.ahead[n][dead] = 0
		for k, row := range s.row[n] {
			if row.origin() == dead && row.seq() > s.clock[n][dead] {
				s.row[n][k] = 0
			}
		}
	}
}

// pure reports whether a bucket counts as pure: all its extras are of closed origins.
func (s *ForgetState) pure(n int) bool {
	return s.ahead[n][lives] == 0 && (s.ahead[n][dead] == 0 || s.closed[n])
}

// Check implements [Model].
func (m Forget) Check(s ForgetState) string {
	for n := range nodes {
		for d := dot(1); d < 8; d++ {
			if s.hlc[d] > 0 && d.seq() <= s.clock[n][d.origin()] && s.later(d, s.row[n][s.key[d]]) {
				return fmt.Sprintf("cover: the clock of %d covers write %d of %d, which it lacks", n, d.seq(), d.origin())
			}
		}
		for p := range n {
			// Pure is a word for people. The alarm is for nodes without any extras.
			proof := s.ahead[n] == s.ahead[p] && s.ahead[n] == [2]uint8{}
			if m.Variant == "pure-is-proof" {
				proof = s.pure(n) && s.pure(p)
			}
			if proof && s.clock[n] == s.clock[p] && s.row[n] != s.row[p] {
				return fmt.Sprintf("equal: %d and %d have equal clocks and count as pure, but their rows differ", p, n)
			}
		}
	}
	if bad := m.rest(s); bad != "" || !s.down {
		return bad
	}
	s.down = false // after all
	return m.rest(s)
}

// rest lets all that run pull from each other until their digests are equal, and
// says what is wrong then.
func (m Forget) rest(s ForgetState) string {
	first := 0
	if s.down {
		first = 1
	}
	best := s.best
	for d := dot(1); d < 8; d++ {
		if k := s.key[d]; s.hlc[d] > 0 && !s.down && s.later(d, best[k]) {
			best[k] = d
		}
	}
	for before := (ForgetState{}); before != s; {
		before = s
		for n := first; n < nodes; n++ {
			for d := first; d < nodes; d++ {
				if !s.same(n, d) {
					m.pull(&s, n, d, 2)
				}
			}
		}
	}
	for n := first; n < nodes; n++ {
		switch {
		case s.row[n] != best:
			return fmt.Sprintf("lost: %d ends with the rows %v, not %v", n, s.row[n], best)
		case !s.same(n, first):
			return fmt.Sprintf("apart: %d and %d never have the same digest", first, n)
		case s.pure(n) != (s.ahead[n] == [2]uint8{} || s.closed[n]):
			return fmt.Sprintf("impure: %d holds extras of a node that lives", n)
		case first == 0 && s.ahead[n] != [2]uint8{}:
			return fmt.Sprintf("hole: %d still holds extras, with nobody missing", n)
		}
	}
	return ""
}

// same reports whether two nodes have the same digest: what is ahead is in it,
// whoever is forgotten, and the sum of the rows.
func (s *ForgetState) same(n, d int) bool {
	return s.clock[n] == s.clock[d] && s.ahead[n] == s.ahead[d] && s.row[n] == s.row[d]
}
