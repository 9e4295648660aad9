package integration_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A cable joins two hosts: network namespaces of their own, made by the test.
// What is on its way when it is cut is lost, and nobody is told: connections go
// on waiting, as they do when a link in between is gone.
type cable struct {
	tb    testing.TB
	hosts [2]string
}

// cableAddress is where the i-th host is for the other.
func cableAddress(i int) string { return fmt.Sprintf("10.203.77.%d", i+1) }

// startCable makes two hosts and joins them. It skips the test where that is
// not possible.
func startCable(tb testing.TB) *cable {
	tb.Helper()
	if os.Getuid() != 0 {
		tb.Skip("not root: no network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		tb.Skip("no ip command (iproute2): no network namespaces")
	}
	c := &cable{tb: tb}
	for i := range c.hosts {
		c.hosts[i] = fmt.Sprintf("rpl%d-%d", os.Getpid(), i)
		if out, err := exec.Command("ip", "netns", "add", c.hosts[i]).CombinedOutput(); err != nil {
			tb.Skipf("no network namespaces here: %s", out)
		}
		tb.Cleanup(func() { c.ip("netns", "del", c.hosts[i]) })
	}
	c.ip("link", "add", "rpl0", "netns", c.hosts[0], "type", "veth", "peer", "name", "rpl0", "netns", c.hosts[1])
	for i, host := range c.hosts {
		c.ip("-n", host, "link", "set", "lo", "up")
		c.ip("-n", host, "addr", "add", cableAddress(i)+"/30", "dev", "rpl0")
	}
	c.heal()
	return c
}

func (c *cable) ip(args ...string) {
	c.tb.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		c.tb.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func (c *cable) cut() { c.tb.Helper(); c.ip("-n", c.hosts[0], "link", "set", "rpl0", "down") }

func (c *cable) heal() {
	c.tb.Helper()
	for _, host := range c.hosts {
		c.ip("-n", host, "link", "set", "rpl0", "up")
	}
}

// A hostDialer dials from inside of a host, as nats.go wants it.
type hostDialer string

// Dial implements nats.CustomDialer. A socket stays in the namespace in which it
// was made, so only this moment is spent there. The thread goes back: the system
// would end the processes that it has started with it.
func (h hostDialer) Dial(network, address string) (net.Conn, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer home.Close() //nolint:errcheck // nothing was written
	away, err := os.Open("/run/netns/" + string(h))
	if err != nil {
		return nil, err
	}
	defer away.Close() //nolint:errcheck // nothing was written
	if err := unix.Setns(int(away.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	conn, err := net.Dial(network, address) //nolint:noctx // what the interface asks for
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(back) // the thread would go on in the wrong place
	}
	return conn, err
}
