package replicator

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"replicator/api"
	"replicator/bus"
	syncer "replicator/sync"
)

// Status returns how the node stands: its buckets, and what it has heard of its
// peers. It asks the engine and returns within ctx.
func (n *Node) Status(_ context.Context) api.Status {
	s := api.Status{
		Node: n.Name(), Role: api.Role(n.Replica()), Version: n.Version(), Ready: n.Ready(), Online: n.online.Load(), Joins: n.cfg.Buckets, Left: n.store.Left(),
	}
	switch fence, retired := n.fence.Load(), n.retired.Load(); {
	case fence != nil:
		s.Fenced = *fence
	case retired != nil:
		s.Fenced = *retired
	}
	if err := n.store.ReadOnly(); err != nil {
		s.NoWrite = text(err)
	}
	var peers map[string]syncer.PeerStatus
	states := map[string]syncer.BucketStatus{}
	names := n.Buckets()
	var members []syncer.MemberStatus
	n.ask(func() {
		peers, members = n.engine.Peers(), n.engine.Members()
		states[bus.Fleet] = n.engine.Bucket(bus.Fleet)
		for _, name := range names {
			states[name] = n.engine.Bucket(name)
		}
	})
	for _, name := range names {
		s.Buckets = append(s.Buckets, n.bucketStatus(name, states[name], peers))
	}
	s.Fleet = new(n.bucketStatus(bus.Fleet, states[bus.Fleet], peers))
	s.Members = n.memberStatus(members)
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
	out.Reconcile, out.Ended = b.Reconciling(), st.Ended
	out.Doubt = doubtStatus(st.Doubt, b.Keys())
	out.Hash, out.Pure = api.Hex(d.Sum), d.Ahead == 0 || b.Pure(n.forgotten)
	out.Pull, out.Bad = pullStatus(st.Pull), b.BadRows()
	if l, err := n.held(name); err == nil {
		out.Scrub = l.scrubs.status()
		out.Conflicts = l.conflicts.Load()
	}
	for _, node := range sortedKeys(peers) {
		p := peers[node]
		pb, ok := p.Buckets[name]
		if !ok {
			continue
		}
		bp := api.BucketPeer{Node: node, InSync: pb.InSync, Diverges: pb.Divergent, Live: p.Live, LastSeen: p.Heard.UTC()}
		if pb.Known {
			bp.Behind = &pb.Behind
		}
		out.Peers = append(out.Peers, bp)
	}
	return out
}

// memberStatus lists this node and those it knows of, by name.
func (n *Node) memberStatus(others []syncer.MemberStatus) []api.MemberStatus {
	own := syncer.MemberStatus{
		Node: n.self.Node, Replica: n.Replica(), State: syncer.MemberLive, Heard: time.Now(), Buckets: n.store.Buckets(),
		Retired: (*n.roster.Load())[n.self.Node],
	}
	if own.Retired.State != "" {
		own.State = own.Retired.State
	}
	list := make([]api.MemberStatus, 0, len(others)+1)
	for _, m := range append(others, own) {
		list = append(list, api.MemberStatus{
			Node: m.Node, Role: api.Role(m.Replica), State: string(m.State), LastHeard: m.Heard.UTC(),
			Buckets: userBuckets(m.Buckets), HoldsUp: userBuckets(m.HoldsUp),
			RetiredBy: m.Retired.By, RetiredAt: m.Retired.At, ThisNode: m.Node == n.self.Node,
		})
	}
	slices.SortFunc(list, func(a, b api.MemberStatus) int { return strings.Compare(a.Node, b.Node) })
	return list
}

func userBuckets(names []string) []string {
	list := []string{}
	for _, name := range names {
		if name != bus.Fleet {
			list = append(list, name)
		}
	}
	return list
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
