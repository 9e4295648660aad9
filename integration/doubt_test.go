package integration_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestReconcileIsAcceptedByHand: a node comes back to one other that has deleted
// more rows than it is believed at once, and has forgotten so. It waits, its own
// writes go on, and the operator decides.
func TestReconcileIsAcceptedByHand(t *testing.T) {
	t.Parallel()
	const many = 1100
	a := embeddedNode(t, "a")
	c := connectedNode(t, "c", a.url)
	a.load(made("k", many, 20))
	c.awaitKeys(soon, many)
	c.stop()
	var deletes strings.Builder
	for i := range many {
		fmt.Fprintf(&deletes, "{\"key\":\"k%08d\",\"deleted\":true}\n", i)
	}
	a.cliIn(strings.NewReader(deletes.String()), "batch", "-").ok(t)
	a.cli("collect", "--older-than", "0s", "--yes").ok(t)

	c.start()
	await(t, soon, "c doubts", func() error {
		if c.bucket().Doubt == nil {
			return errors.New("it does not")
		}
		return nil
	})
	want := fmt.Sprintf("node c, bucket default: %d of %d rows would go, which a has no more\n", many, many)
	if got := a.run("reconcile", "--server", a.url).ok(t).text() + "\n"; got != want {
		t.Errorf("it lists %q, want %q", got, want)
	}
	c.put("own", "1")
	a.want("own", "1")
	c.cli("reconcile", "--accept", "-b", "default").refused(t, exitUsage, "--yes")
	a.cli("reconcile", "--accept", "-b", "default", "--yes").refused(t, exitFailed, "no reconcile of bucket default waits")
	if got := c.bucket().Keys; got != many+1 {
		t.Errorf("%d rows, nobody has accepted to lose any", got)
	}
	c.cli("reconcile", "--accept", "-b", "default", "--yes").ok(t)
	converged(t, soon, a, c)
	c.awaitKeys(soon, 1)
	if n := strings.Count(c.cli("conflicts", "ls").ok(t).text(), "\n"); n < many-1 {
		t.Errorf("%d lines of rows that were kept, want %d", n, many)
	}
}
