package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// tool is the path of a program that a test cannot do without. A desk may lack
// it; where CI does, .ci/run has to bring it.
func tool(tb testing.TB, name, remedy string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		tb.Fatalf("no %s in CI, which .ci/run should have brought", name)
	default:
		tb.Skipf("no %s on PATH: %s", name, remedy)
	}
	return path
}

// A javascript is a copy of the example with its packages, beside a node that
// was started with its configuration.
type javascript struct {
	dir  string
	node *node
	ws   string // where the node's server takes WebSocket
	run  string // the program node
}

func newJavaScript(t *testing.T) javascript {
	t.Helper()
	run, npm := tool(t, "node", "install Node.js 20"), tool(t, "npm", "install npm")
	js := javascript{dir: t.TempDir(), run: run}
	const example = "../examples/javascript"
	files, err := os.ReadDir(example)
	must(t, err)
	for _, file := range files {
		if !file.IsDir() { // node_modules of somebody who tried it
			content, err := os.ReadFile(filepath.Join(example, file.Name()))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(js.dir, file.Name()), content, 0o600))
		}
	}
	js.serve(t)
	ci := exec.Command(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	ci.Dir, ci.Env = js.dir, cleanEnv()
	if r := finish(t, ci); r.code != 0 {
		t.Fatalf("npm %v", r)
	}
	return js
}

// serve starts a node with the configuration as it is shipped, but for the ports.
func (js *javascript) serve(t *testing.T) {
	t.Helper()
	path := filepath.Join(js.dir, "nats.conf")
	conf, err := os.ReadFile(path)
	must(t, err)
	clients, sockets := freeAddress(t), freeAddress(t)
	text := strings.NewReplacer("127.0.0.1:4222", clients, "127.0.0.1:8090", sockets).Replace(string(conf))
	if !strings.Contains(text, clients) || !strings.Contains(text, sockets) {
		t.Fatalf("nats.conf has other ports than the test knows:\n%s", conf)
	}
	must(t, os.WriteFile(path, []byte(text), 0o600))
	js.ws = "ws://" + sockets
	js.node = newNode(t, "a", "nats://"+clients, "--nats-config", path).start()
}

// script runs a program of JavaScript in the folder.
func (js *javascript) script(t *testing.T, name string, env ...string) result {
	t.Helper()
	cmd := exec.Command(js.run, name)
	cmd.Dir, cmd.Env = js.dir, cleanEnv(append(env, "REPLICATOR_WS="+js.ws)...)
	return finish(t, cmd)
}

func TestJavaScriptClient(t *testing.T) {
	js := newJavaScript(t)
	t.Run("page", js.showsWhatThePageSays)
	t.Run("watch", js.watchesOn)
	converged(t, soon, js.node)
	t.Run("nobody", js.tellsThatNobodyIsThere)
}

// showsWhatThePageSays runs main.mjs, compares what it prints with the example's
// page, and looks at what the node holds then.
func (js *javascript) showsWhatThePageSays(t *testing.T) {
	page, err := os.ReadFile("../examples/javascript/README.md")
	must(t, err)
	steps := consoleSteps(string(page))
	at := slices.IndexFunc(steps, func(s step) bool { return s.typed == "node main.mjs" })
	if at < 0 {
		t.Fatal("the page does not say: $ node main.mjs")
	}
	if r := js.script(t, "main.mjs"); r.code != 0 || !steps[at].matches(string(r.stdout)) {
		t.Errorf("%v\nthe page has\n%s", r, strings.Join(steps[at].expect, "\n"))
	}
	js.node.wantNone("demo/colour")
	js.node.want("demo/shape", "round")
	js.node.want("demo/raw", "\x02\x00\xff\n")
	large := make([]byte, 1_500_000)
	for i := range large {
		large[i] = byte(i)
	}
	js.node.want("demo/large", string(large))
}

// watchMany watches while a key is written so often that the node would stop for
// want of a word, and for SECONDS in which nothing happens.
const watchMany = `
import { connect } from "./replicator.mjs";
if (!globalThis.WebSocket) globalThis.WebSocket = (await import("ws")).WebSocket;
const client = await connect({ servers: process.env.REPLICATOR_WS });
const writes = 700;
let seen = 0;
for await (const { type, value } of client.watch({ prefix: "many" })) {
  if (type === "put" && value !== String(seen++)) throw new Error(value + " came after " + seen);
  if (seen === writes) await new Promise((next) => setTimeout(next, process.env.SECONDS * 1000));
  if (seen > writes) break;
  await client.put("many", String(seen));
}
console.log(seen, "seen");
await client.close();
`

func (js *javascript) watchesOn(t *testing.T) {
	must(t, os.WriteFile(filepath.Join(js.dir, "many.mjs"), []byte(watchMany), 0o600))
	idle := 0
	if long() {
		idle = 40 // beyond the lease
	}
	begun := time.Now()
	if r := js.script(t, "many.mjs", fmt.Sprint("SECONDS=", idle)); r.code != 0 || r.text() != "701 seen" {
		t.Error(r)
	}
	// Without words in between, the one of every ten seconds would let it through.
	if took := time.Since(begun); !long() && took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

func (js *javascript) tellsThatNobodyIsThere(t *testing.T) {
	js.node.stop()
	if r := js.script(t, "main.mjs"); r.code == 0 || !strings.Contains(r.stderr, "connection refused") {
		t.Errorf("without a server: %v", r)
	}
	port := freePort(t)
	b := &broker{tb: t, opts: server.Options{
		Host: "127.0.0.1", Port: freePort(t), NoLog: true, NoSigs: true,
		Websocket: server.WebsocketOpts{Host: "127.0.0.1", Port: port, NoTLS: true},
	}}
	b.start()
	defer b.stop()
	js.ws = fmt.Sprint("ws://127.0.0.1:", port)
	if r := js.script(t, "main.mjs"); r.code == 0 || !strings.Contains(r.stderr, "no_node") {
		t.Errorf("without a node: %v", r)
	}
}

// TestShellClients runs the scripts against a node, and against none: they have
// to tell.
func TestShellClients(t *testing.T) {
	for _, script := range []struct {
		name, tool, remedy string
		env                func(server, web string) []string
	}{
		{"nats.sh", "nats", natsRemedy, func(server, _ string) []string {
			return []string{"NATS_URL=" + server}
		}},
		{"curl.sh", "curl", "install curl", func(_, web string) []string {
			return []string{"REPLICATOR_URL=http://" + web, "REPLICATOR_HTTP_TOKEN=secret"}
		}},
	} {
		t.Run(script.name, func(t *testing.T) {
			bash := tool(t, "bash", "install bash")
			tool(t, script.tool, script.remedy)
			web := freeAddress(t)
			n := newNode(t, "a", "nats://"+freeAddress(t))
			n.args = []string{"--listen", strings.TrimPrefix(n.url, "nats://"), "--http", web}
			n.env = []string{"REPLICATOR_HTTP_TOKEN=secret"}
			n.start()
			run := func(extra ...string) result {
				cmd := exec.Command(bash, mustAbs(t, filepath.Join("../examples/shell", script.name)))
				cmd.Dir, cmd.Env = t.TempDir(), cleanEnv(append(script.env(n.url, web), extra...)...)
				return finish(t, cmd)
			}
			r := run()
			if lines := strings.Split(r.text(), "\n"); r.code != 0 || lines[len(lines)-1] != "done" || r.stderr != "" {
				t.Errorf("%v", r)
			}
			for _, word := range []string{"not_found", `"key":"shell/colour","value":"red"`, `"key":"shell/colour","deleted":true`, `"caught_up":true`} {
				if !strings.Contains(string(r.stdout), word) {
					t.Errorf("it did not show %s:\n%s", word, r.stdout)
				}
			}
			n.wantNone("shell/colour")
			if r := run("REPLICATOR_BUCKET=nobodys"); r.code == 0 || !strings.Contains(string(r.stdout), "no_bucket") {
				t.Errorf("in a bucket that is not there: %v", r)
			}
			converged(t, soon, n)
			n.stop()
			if r := run(); r.code == 0 {
				t.Errorf("without a node: %v", r)
			}
		})
	}
}
