package replicator

import (
	"context"
	"maps"
	"slices"
	"time"

	"replicator/api"
	syncer "replicator/sync"
)

// Status returns how the node stands: its buckets, and what it has heard of its
// peers. It asks the engine and returns within ctx.
func (n *Node) Status(_ context.Context) api.Status {
	s := api.Status{Node: n.Name(), Role: api.Role(n.Replica()), Version: n.Version(), Ready: n.Ready(), Online: n.online.Load(), Joins: n.cfg.Buckets}
	if reason := n.fence.Load(); reason != nil {
		s.Fenced = *reason
	}
	if err := n.store.ReadOnly(); err != nil {
		s.NoWrite = text(err)
	}
	var peers map[string]syncer.PeerStatus
	states := map[string]syncer.BucketStatus{}
	names := n.Buckets()
	n.ask(func() {
		peers = n.engine.Peers()
		for _, name := range names {
			states[name] = n.engine.Bucket(name)
		}
	})
	for _, name := range names {
		s.Buckets = append(s.Buckets, n.bucketStatus(name, states[name], peers))
	}
	for _, name := range sortedKeys(peers) {
		p := peers[name]
		s.Peers = append(s.Peers, api.PeerStatus{
			Node: name, Role: api.Role(p.Replica), Version: p.Version, LastSeen: p.Heard.UTC(), Live: p.Live, Stopping: p.Stopped,
			OffsetMS: p.Offset.Milliseconds(),
		})
	}
	return s
}

func (n *Node) bucketStatus(name string, st syncer.BucketStatus, peers map[string]syncer.PeerStatus) api.BucketStatus {
	out := api.BucketStatus{Name: name, CatchingUp: st.CatchingUp}
	b, ok := n.store.Bucket(name)
	if !ok {
		return out
	}
	d := b.Digest()
	out.Keys, out.Tombstones, out.Clock = b.Keys(), b.Tombstones(), clockText(b.Clock())
	out.Reconcile = b.Reconciling()
	out.Hash, out.Pure = api.Hex(d.Sum), d.Ahead == 0
	out.Pull = pullStatus(st.Pull)
	if l, err := n.loop(name); err == nil {
		out.Conflicts = l.meter.total.Load()
	}
	for _, node := range sortedKeys(peers) {
		p := peers[node]
		pb, ok := p.Buckets[name]
		if !ok {
			continue
		}
		bp := api.BucketPeer{Node: node, InSync: pb.InSync, Live: p.Live, LastSeen: p.Heard.UTC()}
		if pb.Known {
			bp.Behind = &pb.Behind
		}
		out.Peers = append(out.Peers, bp)
	}
	return out
}

// pullStatus estimates the time left from the pace so far. The donor's rows
// bound what may come: it may hold many that need not be sent.
func pullStatus(p *syncer.PullStatus) *api.PullStatus {
	if p == nil {
		return nil
	}
	out := &api.PullStatus{Donor: p.Donor, Keys: p.Entries, Bytes: p.Bytes, Rows: p.Rows}
	if passed := time.Since(p.Started).Seconds(); p.Entries > 0 && p.Rows > p.Entries {
		out.ETASeconds = passed / float64(p.Entries) * float64(p.Rows-p.Entries)
	}
	return out
}

func (n *Node) serviceOptions() api.ServiceOptions {
	return api.ServiceOptions{Prefix: n.cfg.Prefix, Logger: n.log, FrameLimit: n.bus.FrameLimit}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
