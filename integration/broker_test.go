package integration_test

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A broker is a NATS server apart from all nodes. It comes back on the address
// it had, as one that is restarted.
type broker struct {
	tb     testing.TB
	opts   server.Options
	server *server.Server
}

// startBroker starts a server that listens for clients and for leaf nodes.
func startBroker(tb testing.TB) *broker {
	tb.Helper()
	b := &broker{tb: tb, opts: server.Options{
		ServerName: "hub", Host: "127.0.0.1", Port: freePort(tb), NoLog: true, NoSigs: true,
		LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: freePort(tb), NoAdvertise: true},
		// Clients learn of no other address than the one they were given: it may be
		// a proxy.
		Cluster: server.ClusterOpts{NoAdvertise: true},
	}}
	b.start()
	tb.Cleanup(b.stop)
	return b
}

// startCluster starts servers that are routed to each other.
func startCluster(tb testing.TB, n int) []*broker {
	tb.Helper()
	list := make([]*broker, n)
	var routes []*url.URL
	for i := range list {
		port := freePort(tb)
		list[i] = &broker{tb: tb, opts: server.Options{
			ServerName: fmt.Sprint("server-", i), Host: "127.0.0.1", Port: freePort(tb), NoLog: true, NoSigs: true,
			Cluster: server.ClusterOpts{Name: "chaos", Host: "127.0.0.1", Port: port, NoAdvertise: true},
		}}
		routes = append(routes, &url.URL{Scheme: "nats", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))})
	}
	for _, b := range list {
		b.opts.Routes = routes
		b.start()
		tb.Cleanup(b.stop)
	}
	return list
}

func (b *broker) start() {
	b.tb.Helper()
	opts := b.opts
	s, err := server.NewServer(&opts)
	must(b.tb, err)
	s.Start()
	if !s.ReadyForConnections(patience) {
		b.tb.Fatal("broker is not ready")
	}
	b.server = s
}

func (b *broker) stop() {
	if b.server != nil {
		b.server.Shutdown()
		b.server.WaitForShutdown()
		b.server = nil
	}
}

func (b *broker) address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.opts.Port))
}
func (b *broker) url() string { return "nats://" + b.address() }

func (b *broker) leafAddress() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.opts.LeafNode.Port))
}

// sent is how many bytes a node put on the wire, over the connections it has
// now, as the broker counts them.
func (b *broker) sent(name string) int64 {
	b.tb.Helper()
	c, err := b.server.Connz(&server.ConnzOptions{})
	must(b.tb, err)
	var sum int64
	found := false
	for _, conn := range c.Conns {
		if words := strings.Fields(conn.Name); len(words) > 1 && words[0] == "replicator" && words[1] == name {
			sum, found = sum+conn.InBytes, true
		}
	}
	if !found {
		b.tb.Fatalf("the broker knows no connection of %s", name)
	}
	return sum
}

// dial connects a client of the test.
func dial(tb testing.TB, url string) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(url, nats.Name("test"), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	must(tb, err)
	tb.Cleanup(nc.Close)
	return nc
}

func freePort(tb testing.TB) int {
	tb.Helper()
	_, port, err := net.SplitHostPort(freeAddress(tb))
	must(tb, err)
	n, err := strconv.Atoi(port)
	must(tb, err)
	return n
}
