package integration_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// arrows are the imports docs/adr/0002-import-arrows.md allows, from a package
// to others of this module. A package that is not named here may not exist.
var arrows = map[string][]string{
	"replicator":                   {"replicator/api", "replicator/bus", "replicator/carry", "replicator/oplog", "replicator/store", "replicator/sync", "replicator/watch"},
	"replicator/api":               {"replicator/bus", "replicator/oplog"},
	"replicator/bench":             {"replicator", "replicator/bus", "replicator/embedded", "replicator/internal/bareloop", "replicator/internal/jetkv", "replicator/oplog", "replicator/store"},
	"replicator/bus":               {},
	"replicator/carry":             {"replicator/oplog", "replicator/store", "replicator/sync"},
	"replicator/cmd":               {"replicator", "replicator/api", "replicator/bench", "replicator/embedded", "replicator/httpapi", "replicator/oplog"},
	"replicator/embedded":          {},
	"replicator/httpapi":           {"replicator/api", "replicator/oplog"},
	"replicator/integration/peer":  {},
	"replicator/integration":       {"replicator", "replicator/api", "replicator/bus", "replicator/carry", "replicator/embedded", "replicator/oplog", "replicator/store", "replicator/sync"},
	"replicator/deploy":            {},
	"replicator/examples":          {"replicator"},
	"replicator/internal/bareloop": {"replicator/oplog"},
	"replicator/internal/jetkv":    {"replicator/embedded"},
	"replicator/oplog":             {},
	"replicator/store":             {"replicator/oplog"},
	"replicator/sync":              {"replicator/oplog"},
	"replicator/sync/model":        {},
	"replicator/sync/simnet":       {"replicator/carry", "replicator/oplog", "replicator/store", "replicator/sync", "replicator/watch"},
	"replicator/watch":             {"replicator/oplog", "replicator/store"},
}

// reach are the packages which may import what lies outside the module.
var reach = map[string][]string{
	"github.com/nats-io/nats-server": {"replicator/embedded", "replicator/integration"},
	"github.com/nats-io": {
		"replicator", "replicator/api", "replicator/bench", "replicator/bus", "replicator/cmd", "replicator/embedded", "replicator/examples",
		"replicator/integration", "replicator/integration/peer", "replicator/internal/bareloop", "replicator/internal/jetkv",
	},
	"github.com/cockroachdb/pebble": {
		"replicator", "replicator/bench", "replicator/store", "replicator/cmd", "replicator/integration", "replicator/internal/bareloop",
		"replicator/sync/simnet",
	},
}

// A goPackage is what `go list -json` says of a package, without its tests.
type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestImportsFollowTheArrows(t *testing.T) {
	for _, p := range listPackages(t) {
		from := house(p.ImportPath)
		allowed, known := arrows[from]
		if !known {
			t.Errorf("%s has no arrows: give it a row in docs/adr/0002-import-arrows.md", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			to := house(imported)
			if within(imported, "replicator") && to != from && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
			for outside, who := range reach {
				if within(imported, outside) && !slices.Contains(who, from) {
					t.Errorf("%s imports %s, which only %v may", p.ImportPath, imported, who)
				}
			}
		}
	}
}

func TestLibraryDoesNotLinkServer(t *testing.T) {
	packages := listPackages(t)
	root := slices.IndexFunc(packages, func(p goPackage) bool { return p.ImportPath == "replicator" })
	if root < 0 {
		t.Fatal("the module has no root package")
	}
	for _, dep := range packages[root].Deps {
		if within(dep, "github.com/nats-io/nats-server") || within(dep, "replicator/embedded") {
			t.Errorf("replicator links %s", dep)
		}
	}
}

// house is the row of the table a package belongs to: its own, else that of the
// nearest folder above.
func house(importPath string) string {
	for at := importPath; at != "replicator" && at != "."; at = path.Dir(at) {
		if _, known := arrows[at]; known {
			return at
		}
	}
	return importPath
}

// within reports whether path is root or below it.
func within(importPath, root string) bool {
	rest, ok := strings.CutPrefix(importPath, root)
	return ok && (rest == "" || rest[0] == '/')
}

func listPackages(tb testing.TB) []goPackage {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), "go", "list", "-json=ImportPath,Imports,Deps", "replicator/...")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("go list: %v\n%s", err, complaint.String())
	}
	var packages []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages
		case err != nil:
			tb.Fatal(err)
		}
		packages = append(packages, p)
	}
}
