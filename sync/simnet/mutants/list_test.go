package main

import (
	"slices"
	"testing"
)

// TestBugsFitTheCode: every edit finds its text exactly once, names are unique,
// and what speaks of a bug names one that there is.
func TestBugsFitTheCode(t *testing.T) {
	t.Chdir("../../..")
	if err := fit(mutants); err != nil {
		t.Error(err)
	}
	var names []string
	for _, m := range mutants {
		if slices.Contains(names, m.name) {
			t.Errorf("two bugs are named %s", m.name)
		}
		names = append(names, m.name)
	}
	for name := range directed {
		if !slices.Contains(names, name) {
			t.Errorf("a directed test is for %s, which is no bug", name)
		}
	}
	for variant, name := range variants {
		if !slices.Contains(names, name) {
			t.Errorf("%s stands for %s, and is no bug", name, variant)
		}
	}
}
