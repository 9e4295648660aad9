package httpapi_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentedCodes: docs/api.md has every code that a client may meet, with its
// status.
func TestDocumentedCodes(t *testing.T) {
	page, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## Errors\n")
	if !found {
		t.Fatal("no section of errors")
	}
	made := regexp.MustCompile(`&Error\{"([a-z_]+)", ([0-9]+)`)
	files, err := filepath.Glob("../api/*.go")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range made.FindAllStringSubmatch(string(text), -1) {
			count++
			row := regexp.MustCompile(fmt.Sprintf("(?m)^\\|.*`%s`.*\\| %s \\|", m[1], m[2]))
			if !row.MatchString(section) {
				t.Errorf("%s with status %s is not documented", m[1], m[2])
			}
		}
	}
	if count < 20 {
		t.Errorf("%d codes found in the source: the test looks in the wrong place", count)
	}
}
