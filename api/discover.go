package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"replicator/bus"
)

// stall is how long after an answer another may come: nodes answer at once, or
// they are far away.
const stall = 400 * time.Millisecond

// A NodeInfo is what a running node tells of itself.
type NodeInfo struct {
	Node     string            `json:"node"`
	Version  string            `json:"version"`
	ID       string            `json:"id"` // of the instance of the micro service
	Metadata map[string]string `json:"metadata"`
}

// Nodes returns the nodes of the prefix that answer, by name. Two instances of
// one name are two of them.
func (c *Client) Nodes(ctx context.Context) ([]NodeInfo, error) {
	ctx, cancel := c.withTimeout(ctx)
	defer cancel()
	reply, replies, leave := c.listen(1 << 12)
	defer leave()
	subject := "$SRV.INFO." + ServiceName
	if err := c.nc.PublishRequest(subject, reply, nil); err != nil {
		return nil, fmt.Errorf("look for nodes: %w", err)
	}
	var nodes []NodeInfo
	quiet := time.NewTimer(c.opts.Timeout)
	defer quiet.Stop()
	for {
		select {
		case m := <-replies:
			if m.err != nil {
				return nodes, ignoreNobody(m.err)
			}
			if n, ok := c.readInfo(m.body); ok {
				nodes = append(nodes, n)
			}
			quiet.Reset(stall)
		case <-quiet.C:
			return sorted(nodes), nil
		case <-ctx.Done():
			if len(nodes) == 0 {
				return nil, c.unanswered(ctx, "look for nodes", subject)
			}
			return sorted(nodes), nil
		}
	}
}

func ignoreNobody(err error) error {
	if errors.Is(err, nats.ErrNoResponders) {
		return nil
	}
	return err
}

func (c *Client) readInfo(body []byte) (NodeInfo, bool) {
	var info micro.Info
	if err := json.Unmarshal(body, &info); err != nil {
		return NodeInfo{}, false
	}
	n := NodeInfo{Node: info.Metadata["node"], Version: info.Metadata["version"], ID: info.ID, Metadata: info.Metadata}
	return n, bus.ValidNode(n.Node) == nil && info.Metadata["prefix"] == c.opts.Prefix
}

func sorted(nodes []NodeInfo) []NodeInfo {
	slices.SortFunc(nodes, func(a, b NodeInfo) int {
		return strings.Compare(a.Node+"/"+a.ID, b.Node+"/"+b.ID)
	})
	return nodes
}

// masters is 1 for a master, which takes all that one may ask for.
func (n *NodeInfo) masters() int {
	if n.Metadata["role"] == RoleReplica {
		return 0
	}
	return 1
}

// discover returns the first ready node by name, masters before replicas, so that one client program
// after the other speaks to the same and reads what it wrote.
func (c *Client) discover(ctx context.Context) (string, error) {
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return "", err
	}
	if len(nodes) == 0 {
		return "", &NoNodeError{Prefix: c.opts.Prefix}
	}
	slices.SortStableFunc(nodes, func(a, b NodeInfo) int { return b.masters() - a.masters() })
	for _, n := range nodes {
		if len(nodes) == 1 || c.isReady(ctx, n.Node) {
			return n.Node, nil
		}
	}
	return nodes[0].Node, nil // it will say itself why it cannot
}

func (c *Client) isReady(ctx context.Context, node string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	st, err := c.StatusOf(ctx, node)
	return err == nil && st.Ready
}
