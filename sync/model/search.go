package model

import (
	"hash/maphash"
	"slices"
	"strings"
)

// A Model says what can happen, in which states S, and what must not.
type Model[S comparable] interface {
	Start() S
	// Next calls step for all that can happen next. Wrong is what is wrong with
	// that step; empty if nothing is.
	Next(s S, step func(op Op, next S, wrong string))
	// Check returns what is wrong with a state.
	Check(s S) string
}

// An Op is a step of a history: a verb, and what it is about.
type Op struct {
	Verb string
	Args [3]uint8
}

// String writes a step for people: each % of the verb is the next argument.
func (o Op) String() string {
	text := o.Verb
	for _, arg := range o.Args {
		text = strings.Replace(text, "%", string('0'+rune(arg)), 1)
	}
	return text
}

// A Variant is a rule that was broken in one way, by name. Harm is the kind of
// thing that then goes wrong: what stands before the colon of a Wrong. Others are
// passed over, so that the trace shows what the rule is for. The zero Variant is
// the right rule, with which nothing may go wrong.
type Variant struct{ Name, Harm string }

// A Result is what a search found.
type Result struct {
	States int
	All    bool     // no longer history leads to another state
	Wrong  string   // empty: nothing
	Trace  []string // the shortest history that ends in Wrong
}

type past struct {
	before int
	op     Op
}

// Search tries all histories of up to depth steps, the shorter ones first, and
// ends at the first that goes wrong with that harm, or in any way if harm is empty.
// States it has seen it knows by a hash of 64 bits, with another seed in each run:
// that two of some millions share one is less likely than one in a million.
func Search[S comparable](m Model[S], harm string, depth int) Result {
	seed := maphash.MakeSeed()
	seen := map[uint64]struct{}{maphash.Comparable(seed, m.Start()): {}}
	layer, pasts := []S{m.Start()}, []past{{}}
	first, wrong, last := 0, "", past{}
	for ; depth > 0 && len(layer) > 0 && wrong == ""; depth-- {
		var next []S
		for i, s := range layer {
			m.Next(s, func(op Op, n S, bad string) {
				hash := maphash.Comparable(seed, n)
				_, old := seen[hash]
				if wrong != "" || old && bad == "" {
					return
				}
				for _, bad := range []string{bad, m.Check(n)} {
					if bad != "" && strings.HasPrefix(bad, harm) {
						wrong, last = bad, past{first + i, op}
						return
					}
				}
				if !old {
					seen[hash] = struct{}{}
					next, pasts = append(next, n), append(pasts, past{first + i, op})
				}
			})
		}
		first, layer = len(pasts)-len(next), next
	}
	r := Result{States: len(pasts), All: len(layer) == 0, Wrong: wrong}
	for p := last; wrong != "" && p.op.Verb != ""; p = pasts[p.before] {
		r.Trace = append(r.Trace, p.op.String())
	}
	slices.Reverse(r.Trace)
	return r
}
