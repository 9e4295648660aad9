package integration_test

import (
	"fmt"
	"testing"
	"time"

	"replicator/api"
)

// collectWithin is how long nodes may take to forget a delete that all know of:
// they look once a minute.
const collectWithin = 150 * time.Second

func (n *node) thinks(other, state string) func() error {
	return func() error {
		n.tb.Helper()
		list := decode[struct{ Members []api.MemberStatus }](n.tb, n.cli("members", "--json").ok(n.tb)).Members
		for i := range list {
			if list[i].Node == other && list[i].State == state {
				return nil
			}
		}
		return fmt.Errorf("%s thinks %+v", n.name, list)
	}
}

// TestForgetANodeThatDied: of three nodes one is killed for good. Deletes are
// kept for it until it is forgotten; then the other two are equal, pure and
// without it. It comes back after all, with the deleted key: that goes, and it
// takes writes once it is readmitted.
func TestForgetANodeThatDied(t *testing.T) {
	t.Parallel()
	a := embeddedNode(t, "a")
	b, c := connectedNode(t, "b", a.url), connectedNode(t, "c", a.url)
	a.put("kept", "1")
	c.put("deleted", "1")
	converged(t, soon, a, b, c)
	c.freeze() // so that it misses what follows
	a.cli("del", "deleted").ok(t)
	c.crash()
	a.cli("forget", "c").refused(t, exitUsage, "--yes")
	a.cli("forget", "c", "--yes").refused(t, exitFailed, "is running", "--force")
	a.cli("forget", "c", "--yes", "--force").ok(t)
	await(t, soon, "b hears of it", b.thinks("c", "forgotten"))
	await(t, collectWithin, "the delete is forgotten", func() error {
		if n := a.bucket().Tombstones + b.bucket().Tombstones; n > 0 {
			return fmt.Errorf("%d tombstones", n)
		}
		return nil
	})
	converged(t, soon, a, b)
	if !a.bucket().Pure || !b.bucket().Pure {
		t.Error("a or b is not pure")
	}

	c.start()
	await(t, soon, "c learns that it was forgotten", c.thinks("c", "forgotten"))
	c.cli("put", "new", "1").refused(t, exitFailed, "forgotten", "replicator readmit")
	converged(t, soon, a, b, c)
	c.wantNone("deleted")
	b.cli("readmit", "c").ok(t)
	await(t, soon, "c is a member", c.thinks("c", "live"))
	c.put("new", "1")
	converged(t, soon, a, b, c)
	a.want("new", "1")
	a.want("kept", "1")
}

// TestLeaveEndsTheProcess, with code 0, once the others have everything.
// TestLeaveWaitsForNoDeadNode: one that has all, and dies before it can hear of it.
func TestLeaveWaitsForNoDeadNode(t *testing.T) {
	t.Parallel()
	a := embeddedNode(t, "a")
	b, c := connectedNode(t, "b", a.url), connectedNode(t, "c", a.url)
	c.put("k", "v")
	converged(t, soon, a, b, c)
	b.crash()
	replicator(t, "leave", "c", "--yes", "--timeout", "20s", "--server", a.url).ok(t)
	if code := c.proc.wait(t, patience); code != exitDone {
		t.Errorf("it ended with code %d", code)
	}
}

func TestLeaveEndsTheProcess(t *testing.T) {
	t.Parallel()
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)
	b.load(made("k", 500, 100))
	replicator(t, "leave", "b", "--yes", "--server", a.url).ok(t)
	if code := b.proc.wait(t, patience); code != exitDone {
		t.Errorf("it ended with code %d", code)
	}
	await(t, soon, "a hears of it", a.thinks("b", "left"))
	if got := a.bucket().Keys; got != 500 {
		t.Errorf("a has %d keys of 500", got)
	}
	b.start() // as a supervisor might
	b.cli("put", "k", "v").refused(t, exitFailed, "has left", "replicator readmit")
	a.cli("readmit", "b").ok(t)
	await(t, soon, "b is a member", b.thinks("b", "live"))
	b.put("k", "v")
	converged(t, soon, a, b)
}
