package simnet_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// TestScenariosAreListed holds the table of docs/reliability.md to the code: all
// fifty scenarios, each with tests that exist, and every test that bears the
// number of a scenario in the row of that scenario.
func TestScenariosAreListed(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := testsByPackage(t)
	listed, numbered := map[string]bool{}, regexp.MustCompile(`^TestScenario\d\d`)
	rows := regexp.MustCompile(`(?m)^\| (\d\d) \| [^|]+ \| ([^|]+) \|$`).FindAllStringSubmatch(string(text), -1)
	for i, row := range rows {
		if row[1] != fmt.Sprintf("%02d", i+1) {
			t.Fatalf("row %d is of scenario %s", i+1, row[1])
		}
		names := regexp.MustCompile("`([a-z./]+): (Test\\w+)`").FindAllStringSubmatch(row[2], -1)
		if len(names) == 0 && row[2] != "not there yet" {
			t.Errorf("scenario %s: no test", row[1])
		}
		for _, name := range names {
			listed[name[2]] = true
			if !slices.Contains(tests[name[1]], name[2]) {
				t.Errorf("scenario %s: there is no %s in %s", row[1], name[2], name[1])
			}
			if numbered.MatchString(name[2]) && name[2][len("TestScenario"):][:2] != row[1] {
				t.Errorf("%s stands in the row of scenario %s", name[2], row[1])
			}
		}
	}
	if len(rows) != 50 {
		t.Errorf("%d scenarios, want 50", len(rows))
	}
	for pkg, list := range tests {
		for _, name := range list {
			if numbered.MatchString(name) && !listed[name] {
				t.Errorf("%s of %s is not listed", name, pkg)
			}
		}
	}
}

// TestPromisesNameTheirTests holds the table of docs/consistency.md to the code.
func TestPromisesNameTheirTests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "consistency.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := testsByPackage(t)
	names := regexp.MustCompile("`([a-z./]+): (Test\\w+)`").FindAllStringSubmatch(string(text), -1)
	if len(names) < 20 {
		t.Errorf("%d tests are named", len(names))
	}
	for _, name := range names {
		if !slices.Contains(tests[name[1]], name[2]) {
			t.Errorf("there is no %s in %s", name[2], name[1])
		}
	}
}

// testsByPackage lists the names of all tests of the module by their folders.
func testsByPackage(t *testing.T) map[string][]string {
	t.Helper()
	head := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	tests := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // a file of the repository
		if err != nil {
			return err
		}
		pkg, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, m := range head.FindAllStringSubmatch(string(text), -1) {
			tests[filepath.ToSlash(pkg)] = append(tests[filepath.ToSlash(pkg)], m[1])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}
