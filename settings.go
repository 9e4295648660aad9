package replicator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"replicator/api"
	"replicator/bus"
	"replicator/carry"
	"replicator/store"
)

// BucketSettings are what the fleet has settled for a bucket, or for all that a
// pattern names.
type BucketSettings = api.BucketSettings

// settingsPrefix begins the keys in the fleet's bucket of settings: bucket/<pattern>.
const settingsPrefix = "bucket/"

// maxSettings bounds how many are read, maxSettingsRow what is read of one.
const (
	maxSettings    = 4096
	maxSettingsRow = 8192
)

// A settingsRow is the value behind such a key. Fields that are not known are left to
// nodes that know them.
type settingsRow struct {
	V        int            `json:"v"`
	Settings BucketSettings `json:"settings"`
}

// A CreateError refuses to make a bucket that nobody holds yet.
type CreateError struct {
	Bucket string
	Node   string
	Create []string // where it may be made
}

func (e *CreateError) Error() string {
	if len(e.Create) == 1 && e.Create[0] == api.Nobody {
		return fmt.Sprintf("replicator: no node may make the bucket %s, as settled for the fleet", e.Bucket)
	}
	return fmt.Sprintf("replicator: the bucket %s may not be made at node %s, but at %s, as settled for the fleet", e.Bucket, e.Node, strings.Join(e.Create, ", "))
}

// Settings returns what the fleet has settled for its buckets, by name or pattern, as
// far as this node has heard. The map is the caller's.
func (n *Node) Settings() map[string]BucketSettings {
	if all := n.settings.Load(); all != nil {
		return maps.Clone(*all)
	}
	return map[string]BucketSettings{}
}

// SetBuckets replaces, on every node once it hears of that, the settings of a bucket,
// or of all whose names begin so if the pattern ends with a *. Zero settings remove
// them. Of several that name a bucket, its own come first, then those of the longest
// pattern, field by field. ErrReplica at a replica.
func (n *Node) SetBuckets(ctx context.Context, pattern string, s BucketSettings) error {
	if err := bus.ValidBuckets(pattern); err != nil {
		return err
	}
	if err := s.Check(); err != nil {
		return err
	}
	if err := n.refusal(); err != nil {
		return err
	}
	if all := n.Settings(); len(all) >= maxSettings && !s.IsZero() {
		if _, known := all[pattern]; !known {
			return &store.LimitError{What: "patterns for which something is settled", Size: int64(len(all)) + 1, Limit: maxSettings}
		}
	}
	op := store.Op{Key: []byte(settingsPrefix + pattern), Delete: s.IsZero()}
	if !op.Delete {
		var err error
		if op.Value, err = json.Marshal(settingsRow{V: 1, Settings: s}); err != nil {
			return err
		}
	}
	_, err := n.tellFleet(ctx, op)
	return err
}

// readSettings reads what is settled. Rows that cannot be read are left out, and make
// the error.
func (n *Node) readSettings() (map[string]BucketSettings, error) {
	all := map[string]BucketSettings{}
	var bad error
	for e, err := range carry.FleetRows(n.store, settingsPrefix, maxSettings) {
		if err != nil && !store.IsCorrupt(err) {
			return nil, err
		}
		var s BucketSettings
		pattern := ""
		if err == nil {
			pattern = string(e.Key[len(settingsPrefix):])
			s, err = parseSettings(pattern, e.Value)
		}
		if err != nil {
			bad = errors.Join(bad, err)
			continue
		}
		all[pattern] = s
	}
	return all, bad
}

func parseSettings(pattern string, value []byte) (BucketSettings, error) {
	var row settingsRow
	if bus.ValidBuckets(pattern) != nil || len(value) > maxSettingsRow {
		return row.Settings, errors.New("settings of no bucket, or too long")
	}
	if err := json.Unmarshal(value, &row); err != nil {
		return row.Settings, fmt.Errorf("settings of %s: %w", pattern, err)
	}
	if row.V != 1 {
		return row.Settings, fmt.Errorf("settings of %s: of version %d", pattern, row.V)
	}
	if err := row.Settings.Check(); err != nil {
		return row.Settings, fmt.Errorf("settings of %s: %w", pattern, err)
	}
	return row.Settings, nil
}

// heedSettings has every bucket follow what is settled now.
func (n *Node) heedSettings() {
	all, err := n.readSettings()
	if err != nil {
		n.log.Warn("not all is known of what is settled for buckets", "error", err)
	}
	if all == nil {
		if n.settings.Load() != nil {
			return
		}
		all = map[string]BucketSettings{}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.settings.Store(&all)
	for _, l := range n.loops {
		l.settle(all)
	}
}

// settle has the bucket follow what is settled.
func (l *loop) settle(all map[string]BucketSettings) {
	s := api.Settle(all, l.name)
	if l.name == bus.Fleet {
		s = BucketSettings{} // what a pattern says of all buckets is of those of users
	}
	l.settings.Store(&s)
	l.bucket.SetAmbiguous(AmbiguousPolicy(s.Ambiguous))
}

// durability says when writes to the bucket are answered now.
func (l *loop) durability() Durability {
	if d := l.settings.Load().Durability; d != "" {
		return Durability(d)
	}
	return l.node.cfg.Durability
}

// giveEnd gives puts without an end that of the bucket, if it has one.
func (l *loop) giveEnd(ops []store.Op) {
	ttl := time.Duration(l.settings.Load().DefaultTTL)
	if ttl == 0 {
		return
	}
	end := time.Now().Add(ttl).UnixMilli()
	for i := range ops {
		if op := &ops[i]; !op.Delete && op.Expiry == 0 {
			op.Expiry = end
		}
	}
}

// mayCreate refuses to make a bucket that nobody is known to hold, where that is not
// settled to be possible.
func (n *Node) mayCreate(name string) error {
	s := api.Settle(n.Settings(), name)
	if s.MayCreate(n.Name()) {
		return nil
	}
	known := false
	n.ask(func() { known = n.engine.Known(name) })
	if known {
		return nil
	}
	return &CreateError{Bucket: name, Node: n.Name(), Create: s.Create}
}

// runCollectAfter forgets old deletes of the buckets for which that is settled.
func (n *Node) runCollectAfter() error {
	tick := time.NewTicker(n.cfg.CollectEvery)
	defer tick.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, name := range n.Buckets() {
			l, err := n.held(name)
			if err != nil {
				continue // it was left
			}
			age := time.Duration(l.settings.Load().CollectAfter)
			may := false
			n.ask(func() { may = n.engine.MayCollect(name) })
			if age == 0 || !may {
				continue
			}
			if _, err := n.Collect(n.ctx, name, age); err != nil && n.ctx.Err() == nil {
				n.log.Warn("old deletes not forgotten", "bucket", name, "error", err)
			}
		}
	}
}
