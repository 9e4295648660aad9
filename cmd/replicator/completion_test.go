package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completer has a real shell complete a command line, given as words of which the
// last is the one under the cursor.
type completer struct {
	shell string
	ask   func(script string, words []string) (args []string)
}

var completers = []completer{
	{"bash", func(script string, words []string) []string {
		return []string{"-c", `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _replicator; printf '%s\n' "${COMPREPLY[@]}"`, script}
	}},
	{"zsh", func(script string, _ []string) []string {
		// Outside of an editor zsh completes nothing: compadd stands in and prints.
		return []string{"-f", "-c", `compdef() { : }; _files() { print files }; compadd() { shift; print -l -- ${(M)@:#$PREFIX*} }
source "$0"; words=("$@"); CURRENT=$#; PREFIX="${@[-1]}"; _replicator`, script}
	}},
	{"fish", func(script string, words []string) []string {
		return []string{"--no-config", "-c", "source " + script + "; complete -C '" + strings.Join(words, " ") + "' | string replace -r '\\t.*' ''"}
	}},
}

// TestCompletion runs the scripts in the shells they are for.
func TestCompletion(t *testing.T) {
	for _, c := range completers {
		t.Run(c.shell, func(t *testing.T) {
			shell, err := exec.LookPath(c.shell)
			if err != nil {
				t.Skip(err)
			}
			got := replicatorIn(t, "", "completion", c.shell)
			if got.code != exitDone {
				t.Fatalf("%+v", got)
			}
			script := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(script, []byte(got.out), 0o600); err != nil {
				t.Fatal(err)
			}
			for line, want := range map[string][]string{
				"replicator rea":                  {"reached", "readmit"},
				"replicator put --tt":             {"--ttl"},
				"replicator --server x put --exp": {"--expires"},
				"replicator conflicts sh":         {"show"},
				"replicator serve --codec ms":     {"msgpack"},
				"replicator nonsense":             nil,
			} {
				words := strings.Split(line, " ")
				args := c.ask(script, words)
				if c.shell != "fish" {
					args = append(args, words...)
				}
				cmd := exec.Command(shell, args...)
				cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
				out, err := cmd.CombinedOutput()
				if err != nil && len(want) > 0 {
					t.Errorf("%s: %v: %s", line, err, out)
				}
				list := strings.Fields(string(out))
				slices.Sort(list)
				if !slices.Equal(list, want) {
					t.Errorf("%s: %q, want %q", line, list, want)
				}
			}
		})
	}
	if got := replicatorIn(t, "", "completion", "tcsh"); got.code != exitUsage {
		t.Errorf("of another shell: %+v", got)
	}
}
