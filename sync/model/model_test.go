package model_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"replicator/sync/model"
)

// find searches, and prints what that took and what it found.
func find[S comparable](t *testing.T, m model.Model[S], harm string, depth int) model.Result {
	t.Helper()
	start := time.Now()
	r := model.Search(m, harm, depth)
	took := time.Since(start)
	t.Logf("%d states, all there are: %v; %.0f a second", r.States, r.All, float64(r.States)/took.Seconds())
	if r.Wrong != "" {
		t.Logf("%s\n\t%s", r.Wrong, strings.Join(r.Trace, "\n\t"))
	}
	return r
}

func TestFold(t *testing.T) {
	for _, tt := range []struct {
		model.Fold
		depth int
	}{
		{model.Fold{Nodes: 2, Origins: 1, Seqs: 2}, 9},
		{model.Fold{Nodes: 2, Origins: 2, Seqs: 3}, 6},
		{model.Fold{Nodes: 2, Origins: 3, Seqs: 1}, 7},
		{model.Fold{Nodes: 3, Origins: 1, Seqs: 2}, 7},
	} {
		t.Run(fmt.Sprint(tt.Nodes, tt.Origins, tt.Seqs), func(t *testing.T) {
			if r := find(t, tt.Fold, "", tt.depth-shallow); r.Wrong != "" {
				t.Error("the rule does not hold")
			}
		})
	}
}

func TestFoldVariantsAreCaught(t *testing.T) {
	for _, v := range model.FoldVariants {
		t.Run(v.Name, func(t *testing.T) {
			if r := find(t, model.Fold{Variant: v.Name, Nodes: 2, Origins: 1, Seqs: 2}, v.Harm, 9); r.Wrong == "" {
				t.Error("not caught")
			}
		})
	}
}

func TestForget(t *testing.T) {
	size := [2]uint8{3 - shallow/2, 1}
	if r := find(t, model.Forget{Seqs: size}, "", 99); r.Wrong != "" || !r.All {
		t.Error("the rule does not hold, or not all was tried")
	}
}

func TestForgetVariantsAreCaught(t *testing.T) {
	for _, v := range model.ForgetVariants {
		t.Run(v.Name, func(t *testing.T) {
			if r := find(t, model.Forget{Variant: v.Name, Seqs: [2]uint8{3, 1}}, v.Harm, 9); r.Wrong == "" {
				t.Error("not caught")
			}
		})
	}
}
