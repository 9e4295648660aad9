package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

func parse(t *testing.T, args ...string) (*cli, error) {
	t.Helper()
	var c cli
	parser, err := newParser(&c, args, stdio{nil, io.Discard, io.Discard})
	if err != nil {
		return nil, err
	}
	_, err = parser.Parse(args)
	return &c, err
}

func settingsFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "replicator.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestFlagBeatsEnvironmentBeatsFile(t *testing.T) {
	alone(t)
	file := settingsFile(t, "node: from-file\ndata: /file\nlisten: 127.0.0.1:1\ncodec: json\nbuckets: [a, b]\ntlsfirst: true\ntimeout: 7s\nnats_config: x.conf\n")
	t.Setenv("REPLICATOR_NODE", "from-env")
	t.Setenv("REPLICATOR_DATA", "/env")
	for _, how := range []string{"flag", "environment"} {
		args := []string{"serve", "--data", "/flag"}
		if how == "flag" {
			args = append(args, "--config", file)
		} else {
			t.Setenv("REPLICATOR_CONFIG", file)
		}
		c, err := parse(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		s := c.Serve
		if s.Data != "/flag" || s.Node != "from-env" || s.Listen != "127.0.0.1:1" || s.Codec != "json" || s.Durability != "sync" ||
			!slices.Equal(s.Bucket, []string{"a", "b"}) || !c.TLSFirst || c.Timeout != 7*time.Second || s.NatsConfig != "x.conf" {
			t.Errorf("--config by %s: %+v %+v", how, s, c.globals)
		}
	}
}

func TestEveryFlagOfTheEnvironmentIsASetting(t *testing.T) {
	alone(t)
	var c cli
	parser, err := newParser(&c, nil, stdio{nil, io.Discard, io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		flag, ok := node.(*kong.Flag)
		if !ok || settingName(flag) == "" {
			return next(nil)
		}
		seen++
		for _, key := range []string{settingName(flag), strings.ReplaceAll(settingName(flag), "-", "_")} {
			if got := replicatorIn(t, "", "version", "--config", settingsFile(t, key+": 1h\n")); strings.Contains(got.err, "unknown key") {
				t.Errorf("%s: %s", key, got.err)
			}
		}
		return next(nil)
	})
	if err != nil || seen < 20 {
		t.Errorf("%d settings, %v", seen, err)
	}
}

func TestClientSettingsComeFromTheSameFile(t *testing.T) {
	alone(t)
	c, err := parse(t, "get", "k", "--config="+settingsFile(t, "server: nats://hub:4222\nbucket: orders\nbuckets: [orders]\n"))
	if err != nil || c.Server != "nats://hub:4222" || c.Get.Bucket != "orders" {
		t.Errorf("%+v, %v", c, err)
	}
	if !c.outbound() {
		t.Error("a server in the file does not count")
	}
}

func TestBadSettingsAreNamed(t *testing.T) {
	alone(t)
	for text, want := range map[string]string{
		"node: a\nlsiten: x\n":     `unknown key "lsiten"`,
		"json: true\n":             `unknown key "json"`,
		"config: other\n":          `unknown key "config"`,
		"tls: {ca: x}\n":           "tls: a mapping does not belong there",
		"node:\n":                  "node: no value",
		"codec: xml\n":             "--codec must be one of",
		"node: a\nnode: b\n":       `already defined`,
		"- a\n":                    "line 1: cannot unmarshal !!seq as settings, want lines like node: north",
		"timeout: soon\n":          "--timeout",
		"buckets: [a, {b: c}]\n":   "a mapping does not belong there",
		"data: x\n\tbroken: tab\n": "yaml",
	} {
		file := settingsFile(t, text)
		got := replicatorIn(t, "", "serve", "--config", file, "--server", "nats://127.0.0.1:1", "--bucket", "_refused")
		if got.code != exitUsage || !strings.Contains(got.err, want) || strings.Count(got.err, "\n") != 1 {
			t.Errorf("%q: exit %d, %s", text, got.code, got.err)
		}
	}
	got := replicatorIn(t, "", "version", "--config", "no-such-file")
	if got.code != exitUsage || !strings.Contains(got.err, "no-such-file") {
		t.Errorf("missing file: %+v", got)
	}
}

func TestSelectedContextServesClientsOnly(t *testing.T) {
	alone(t)
	dir := filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "nats")
	if err := os.MkdirAll(filepath.Join(dir, "context"), 0o700); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	for name, text := range map[string]string{
		"context.txt":       "hub",
		"context/hub.json":  `{"url":"nats://` + address + `"}`,
		"context/hub2.json": `{"url":"nats://192.0.2.1:1"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := parse(t, "serve")
	if err != nil || c.outbound() {
		t.Errorf("serve connects out: %v", err)
	}
	for _, args := range [][]string{{"serve", "--context", "hub"}, {"serve", "-s", "nats://x"}} {
		if c, err := parse(t, args...); err != nil || !c.outbound() {
			t.Errorf("%v does not connect out: %v", args, err)
		}
	}
	if got := replicatorIn(t, "", "get", "k", "--context", "none"); got.code != exitFailed || !strings.Contains(got.err, "--no-context") {
		t.Errorf("unknown context: %+v", got)
	}
	if got := replicatorIn(t, "", "get", "k"); got.code != exitFailed || !strings.Contains(got.err, "no NATS server answers") {
		t.Errorf("selected context: %+v", got)
	}
}
