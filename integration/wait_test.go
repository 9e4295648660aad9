package integration_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestWaitForMembersOfThree: three processes, of which one is killed. The command line
// and HTTP name the one that is missing.
func TestWaitForMembersOfThree(t *testing.T) {
	web := freeAddress(t)
	a := embeddedNode(t, "a", "--http", web)
	b, c := connectedNode(t, "b", a.url), connectedNode(t, "c", a.url)
	converged(t, soon, a, b, c)
	url := "http://" + web + "/v1/buckets/default/keys/k"
	a.cli("put", "k", "v", "--wait", "3").ok(t)
	token := a.cli("put", "k", "v", "--wait", "all").ok(t).text()
	if got := a.cli("reached", token, "--timeout", "10s").ok(t).text(); got != "a: has it\nb: has it\nc: has it" {
		t.Errorf("reached: %s", got)
	}
	status, body, err := fetch(t, http.DefaultClient, http.MethodPut, url+"?wait=all&timeout=10s", "", []byte("w"))
	if err != nil || status != http.StatusOK || !strings.Contains(body, `"enough":true,"reached":["a","b","c"],"missing":{}`) {
		t.Errorf("all: %d %s %v", status, body, err)
	}
	c.crash()
	a.cli("put", "k", "v", "--wait", "all", "--timeout", "5s").refused(t, exitBehind, "written", "disks of c", "2 of 3")
	status, body, err = fetch(t, http.DefaultClient, http.MethodPut, url+"?wait=all&timeout=5s", "", []byte("x"))
	if err != nil || status != http.StatusAccepted || !strings.Contains(body, `"enough":false,"reached":["a","b"],"missing":{"c":"no answer"}`) {
		t.Errorf("without c: %d %s %v", status, body, err)
	}
	b.want("k", "x")
	http.DefaultClient.CloseIdleConnections()
}
