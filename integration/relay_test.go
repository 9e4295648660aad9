package integration_test

import (
	"bytes"
	"testing"
)

// Three masters, of which the first and the last are never up together: the
// middle one carries what each of them wrote to the other.
func TestMiddleMasterRelays(t *testing.T) {
	t.Parallel()
	hub := startBroker(t)
	a := connectedNode(t, "a", hub.url())
	b := connectedNode(t, "b", hub.url())
	a.load(numbered(150, "from a", nil))
	converged(t, soon, a, b)
	a.stop()

	c := connectedNode(t, "c", hub.url())
	converged(t, soon, b, c)
	c.want("k149", "from a")
	c.load(numbered(50, "from c", nil))
	c.cli("del", "k60").ok(t)
	converged(t, soon, b, c)
	atC := c.sortedExport("default")
	c.stop()

	a.start()
	converged(t, soon, a, b)
	a.want("k49", "from c")
	a.want("k50", "from a")
	a.wantNone("k60")
	if !bytes.Equal(atC, a.sortedExport("default")) {
		t.Error("a and c differ, which never met")
	}
}
