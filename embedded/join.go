package embedded

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// rejoinEvery is how often a lost hub is tried; the server adds up to as much
// again as jitter.
const rejoinEvery = time.Second

// applyJoin adds the hub as one leaf remote. One, because two remotes of the
// same account to the same hub would be a loop.
func (o Options) applyJoin(opts *server.Options) error {
	if len(o.Join) == 0 {
		return nil
	}
	remote := &server.RemoteLeafOpts{Credentials: o.Credentials}
	for _, address := range o.Join {
		hub, err := parseHub(address)
		if err != nil {
			return err
		}
		if hub.Scheme == "nats-leaf+tls" {
			hub.Scheme, remote.TLS = "nats-leaf", true
		}
		remote.URLs = append(remote.URLs, hub)
	}
	opts.LeafNode.Remotes = append(opts.LeafNode.Remotes, remote)
	if opts.LeafNode.ReconnectInterval == 0 {
		opts.LeafNode.ReconnectInterval = rejoinEvery
	}
	return nil
}

// CheckJoin refuses what cannot be the address of a hub to join.
func CheckJoin(address string) error {
	_, err := parseHub(address)
	return err
}

// parseHub checks one address of a hub and gives it its scheme's port. Errors
// leave the address out where it could hold a password.
func parseHub(address string) (*url.URL, error) {
	hub, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("join address is not a URL, want nats-leaf://host:%d", server.DEFAULT_LEAFNODE_PORT)
	}
	port, known := hubPort(hub.Scheme)
	if !known || hub.Hostname() == "" {
		return nil, fmt.Errorf("join %s: want nats-leaf://host:%d, nats-leaf+tls://, ws:// or wss://",
			hub.Redacted(), server.DEFAULT_LEAFNODE_PORT)
	}
	if hub.Port() == "" {
		hub.Host = net.JoinHostPort(hub.Hostname(), strconv.Itoa(port))
	}
	return hub, nil
}

func hubPort(scheme string) (port int, known bool) {
	switch scheme {
	case "nats-leaf", "nats-leaf+tls":
		return server.DEFAULT_LEAFNODE_PORT, true
	case "ws":
		return 80, true
	case "wss":
		return 443, true
	}
	return 0, false
}
