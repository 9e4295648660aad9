package integration_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"replicator/api"
)

// TestTypeOnEveryRoad: what one client says of a value, any other is told, of any node,
// by whichever road, and after an export and an import elsewhere.
func TestTypeOnEveryRoad(t *testing.T) {
	web := freeAddress(t)
	a := embeddedNode(t, "a", "--codec", "json", "--http", web)
	b := connectedNode(t, "b", a.url)
	url := "http://" + web + "/v1/buckets/default/keys/"
	kinds := map[string]string{
		"cli": "image/png", "create": "image/gif", "http": "text/html", "curl": "", "batch": `text/plain; charset="utf-8"`, "import": "a/b",
	}
	b.cli("put", "cli", "v", "--type", kinds["cli"]).ok(t)
	b.cli("create", "create", "v", "--type", kinds["create"]).ok(t)
	for key, said := range map[string]string{"http": kinds["http"], "curl": "application/x-www-form-urlencoded"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+key, strings.NewReader("v"))
		must(t, err)
		req.Header.Set("Content-Type", said)
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", key, res.Status)
		}
	}
	for _, verb := range []string{"batch", "import"} {
		rec := api.Record{Key: []byte(verb), Value: []byte("v"), Type: kinds[verb]}
		b.cliIn(bytes.NewReader(append(rec.AppendJSON(nil), '\n')), verb, "-").ok(t)
	}
	converged(t, soon, a, b)

	c := embeddedNode(t, "c")
	c.load(a.cli("export").ok(t).stdout)
	for key, kind := range kinds {
		for _, n := range []*node{a, b, c} {
			if got := decode[struct{ Type string }](t, n.cli("get", key, "--json").ok(t)); got.Type != kind {
				t.Errorf("%s says that %s is %q, want %q", n.name, key, got.Type, kind)
			}
		}
		res, err := http.Get(url + key) //nolint:noctx // ends with the node
		must(t, err)
		_ = res.Body.Close()
		if got := res.Header.Get("Content-Type"); got != kind && (kind != "" || got != "application/octet-stream") {
			t.Errorf("HTTP says that %s is %q, want %q", key, got, kind)
		}
	}
	a.cli("put", "k", "v", "--type", "a\nb").refused(t, exitUsage, "--type", "printable")
	http.DefaultClient.CloseIdleConnections()
}
