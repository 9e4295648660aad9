package integration_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"iter"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"replicator/api"
)

type cliRoad struct {
	program string
	server  string
}

func (cliRoad) name() string { return "cli" }

func (r cliRoad) do(ctx context.Context, a ask) (got answer, err error) {
	var flags, words []string
	flag := func(name, value string) { flags = append(flags, "--"+name, value) }
	command, stdin := a.verb, ""
	switch a.verb {
	case "get":
		words = []string{a.key}
	case "mget":
		command, words = "get", slices.Clone(a.keys)
	case "put":
		words = []string{a.key, a.value}
		if len(a.value) > 1000 || a.value == "-" || strings.ContainsRune(a.value, 0) {
			words[1], stdin = "-", a.value
		}
		command = cliConditions(a, flag)
	case "del":
		words = []string{a.key}
		cliConditions(a, flag)
	case "delprefix":
		command = "del"
		flags = append(flags, "--yes")
	case "batch":
		words, stdin = []string{"-"}, string(records(a.ops))
	case "reached":
		words = []string{a.after}
		flag("wait", "a")
	case "list":
		command, words = "ls", cliRange(a, flag)
	}
	under := []string{a.key}
	for _, list := range [][]string{words, {a.o.start, a.o.end, a.o.behind}, under} {
		if slices.ContainsFunc(list, unsayable) && a.verb != "batch" && a.verb != "reached" {
			flags = append(base64Flags(flags), "--key-b64")
			inBase64(words[:min(len(words), keysOf(a))])
			inBase64(under)
			break
		}
	}
	if a.verb == "delprefix" {
		flag("under", under[0])
	}
	if a.create {
		flags = append(flags, "--create")
	}
	if a.after != "" && a.verb != "reached" {
		flag("after", a.after)
	}
	if end, ok := ctx.Deadline(); ok {
		flag("timeout", time.Until(end).Round(time.Millisecond).String())
	}
	out, err := r.run(ctx, a, command, flags, words, stdin)
	if err != nil {
		return got, err
	}
	switch a.verb {
	case "put", "del":
		return putAnswer(out)
	}
	return linesAnswer(a, out)
}

// unsayable words cannot be arguments as they are.
func unsayable(word string) bool { return !utf8.ValidString(word) || strings.ContainsRune(word, 0) }

func keysOf(a ask) int {
	if a.verb == "put" {
		return 1
	}
	return len(a.keys) + 1
}

func inBase64(words []string) {
	for i := range words {
		words[i] = base64.StdEncoding.EncodeToString([]byte(words[i]))
	}
}

// base64Flags has the flags whose values are keys in base64.
func base64Flags(flags []string) []string {
	for i, name := range flags {
		if slices.Contains([]string{"--start", "--end", "--behind"}, name) {
			inBase64(flags[i+1 : i+2])
		}
	}
	return flags
}

// cliConditions returns the command that has them.
func cliConditions(a ask, flag func(name, value string)) string {
	if a.ttl != 0 {
		flag("ttl", a.ttl.String())
	}
	if !a.expires.IsZero() {
		flag("expires", a.expires.Format(time.RFC3339Nano))
	}
	switch {
	case a.absent:
		return "create"
	case a.at != 0:
		flag("if-local", a.ifDot.String())
		return "update"
	}
	return "put"
}

func cliRange(a ask, flag func(name, value string)) []string {
	for name, key := range map[string]string{"start": a.o.start, "end": a.o.end, "behind": a.o.behind} {
		if key != "" {
			flag(name, key)
		}
	}
	if a.o.limit != 0 {
		flag("limit", strconv.Itoa(a.o.limit))
	}
	if a.o.reverse {
		flag("reverse", "true")
	}
	if !a.o.keysOnly {
		flag("values", "true")
	}
	return []string{a.o.prefix}
}

func (r cliRoad) command(ctx context.Context, a ask, command string, flags, words []string) *exec.Cmd {
	args := append([]string{command, "--server", r.server, "--node", "a", "--bucket", a.bucket, "--json"}, joined(flags)...)
	if len(words) > 0 {
		args = append(append(args, "--"), words...)
	}
	cmd := exec.CommandContext(ctx, r.program, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = scratch, cleanEnv(), 5*time.Second
	endWithUs(cmd)
	return cmd
}

// joined has flags and their values in one word each: --limit=-1 is no flag of its
// own behind.
func joined(flags []string) []string {
	var list []string
	for i := 0; i < len(flags); i++ {
		if i+1 < len(flags) && !strings.HasPrefix(flags[i+1], "--") {
			list = append(list, flags[i]+"="+flags[i+1])
			i++
			continue
		}
		list = append(list, flags[i])
	}
	return list
}

func (r cliRoad) run(ctx context.Context, a ask, command string, flags, words []string, stdin string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience) // it is the node that says behind
	defer cancel()
	cmd := r.command(ctx, a, command, flags, words)
	cmd.Stdin = strings.NewReader(stdin)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if a.verb == "mget" && cmd.ProcessState.ExitCode() == exitNotFound {
		return out, nil // those that are there were printed
	}
	return out, cliRefusal(err, cmd.ProcessState.ExitCode(), complaint.String())
}

const exitRevision = 6

// cliCodes tell an error of the command by its exit code and by what it says.
var cliCodes = []struct {
	code  refusal
	exit  int
	words string
}{
	{"not_found", exitNotFound, "key not found: "},
	{"behind", exitBehind, ""},
	{"exists", exitRevision, " exists on this node, at revision "},
	{"revision", exitRevision, "revision "},
	{"bad_key", exitUsage, "the key is empty"},
	{"bad_key", exitFailed, "line 2: the key is empty"}, // of a file, which is no wrong usage
	{"bad_bucket", exitUsage, "bucket name"},
	{"bad_request", exitUsage, ""},
	// Not of the flags: it is the node that finds out.
	{"bad_request", exitFailed, "no token of a watch"},
	{"bad_request", exitFailed, "is past"},
	{"no_bucket", exitFailed, "no such bucket"},
	{"too_large", exitFailed, "limit"},
}

func cliRefusal(err error, exit int, complaint string) error {
	if err == nil {
		return nil
	}
	if !strings.HasPrefix(complaint, "replicator: ") || strings.Count(complaint, "\n") != 1 {
		return fmt.Errorf("exit code %d, and not one line: %s: %w", exit, complaint, err)
	}
	for _, c := range cliCodes {
		if exit == c.exit && strings.Contains(complaint, c.words) {
			return c.code
		}
	}
	return fmt.Errorf("exit code %d: %s", exit, complaint)
}

func (r cliRoad) watch(ctx context.Context, a ask) iter.Seq2[api.WatchEvent, error] {
	return func(yield func(api.WatchEvent, error) bool) {
		var flags []string
		for name, wanted := range map[string]bool{
			"--from-start": a.w.fromStart, "--no-deletes": a.w.noDeletes, "--keys-only": a.w.metaOnly,
		} {
			if wanted {
				flags = append(flags, name)
			}
		}
		if a.w.token != "" {
			flags = append(flags, "--resume", a.w.token)
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		cmd := r.command(ctx, a, "watch", flags, []string{a.o.prefix})
		var complaint bytes.Buffer
		cmd.Stderr = &complaint
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			yield(api.WatchEvent{}, err)
			return
		}
		on := true
		watchLines(out, func(ev api.WatchEvent, err error) bool {
			on = yield(ev, err)
			return on
		})
		cancel()
		if err := cmd.Wait(); on {
			yield(api.WatchEvent{}, cliRefusal(err, cmd.ProcessState.ExitCode(), complaint.String()))
		}
	}
}
