package carry

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
)

// retiredPrefix begins the keys in syncer.Fleet of nodes that have left or were
// forgotten. It is a bucket like any other, but that clients do not write to it.
const retiredPrefix = "member/"

// maxRow bounds what is read of a row, maxRetirements how many are, those that say
// nothing among them: it is as many as a node may know of origins.
const (
	maxRow         = 1024
	maxRetirements = 1 << 16
)

// A retiredRow is the value behind such a key. A key without a row is that of a
// member, or of nobody.
type retiredRow struct {
	V     int                `json:"v"`
	State syncer.MemberState `json:"state"`
	By    string             `json:"by"`
	At    time.Time          `json:"at"`
}

// Retire returns the write to syncer.Fleet that retires a node.
func Retire(node string, r syncer.Retired) (store.Op, error) {
	value, err := json.Marshal(retiredRow{V: 1, State: r.State, By: r.By, At: r.At.UTC().Truncate(time.Millisecond)})
	return store.Op{Key: []byte(retiredPrefix + node), Value: value}, err
}

// Readmit returns the write to syncer.Fleet that makes a retired node a member again.
func Readmit(node string) store.Op {
	return store.Op{Key: []byte(retiredPrefix + node), Delete: true}
}

// Retired reads from syncer.Fleet which nodes have left or were forgotten. Rows that
// cannot be read are left out and make the error; the map is nil if the store
// fails.
func Retired(s *store.Store) (map[string]syncer.Retired, error) {
	nodes := map[string]syncer.Retired{}
	b, ok := s.Bucket(syncer.Fleet)
	if !ok {
		return nodes, nil
	}
	var bad error // the first: there may be as many as rows
	note := func(err error) {
		if bad == nil {
			bad = err
		}
	}
	for e, err := range fleetRows(b, retiredPrefix, maxRetirements) {
		if store.IsCorrupt(err) {
			note(err)
			continue
		}
		if err != nil {
			return nil, err
		}
		node := string(e.Key[len(retiredPrefix):])
		r, err := parseRetired(node, e.Value)
		if err != nil {
			note(err)
			continue
		}
		nodes[node] = r
	}
	return nodes, bad
}

// FleetRows yields the rows of syncer.Fleet with that prefix that are no tombstones, at
// most limit. After an error that is store.IsCorrupt others may follow.
func FleetRows(s *store.Store, prefix string, limit int) iter.Seq2[oplog.Entry, error] {
	b, ok := s.Bucket(syncer.Fleet)
	if !ok {
		return func(func(oplog.Entry, error) bool) {}
	}
	return fleetRows(b, prefix, limit)
}

// fleetRows yields the rows with that prefix that are no tombstones, and goes on
// behind one that is not what was written: a node has to start though one rots.
func fleetRows(b *store.Bucket, prefix string, limit int) iter.Seq2[oplog.Entry, error] {
	return func(yield func(oplog.Entry, error) bool) {
		o := store.ScanOptions{Prefix: []byte(prefix)}
		for more := true; more; {
			more = false
			for e, err := range b.Scan(o) {
				if corrupt, ok := errors.AsType[*store.CorruptError](err); ok {
					o.After, more = corrupt.Key, true
				}
				if err == nil && e.Tombstone {
					continue // of which there may be any number
				}
				if limit--; limit < 0 || !yield(e, err) {
					return
				}
			}
		}
	}
}

func parseRetired(node string, value []byte) (syncer.Retired, error) {
	var row retiredRow
	if !oplog.ValidName(node) || len(value) > maxRow {
		return syncer.Retired{}, errors.New("a row on a member has no node's name, or is too long")
	}
	if err := json.Unmarshal(value, &row); err != nil {
		return syncer.Retired{}, fmt.Errorf("row on member %s: %w", node, err)
	}
	if row.V != 1 || row.State != syncer.MemberLeft && row.State != syncer.MemberForgotten || len(row.By) > oplog.MaxName {
		return syncer.Retired{}, fmt.Errorf("row on member %s: of another version, or says nothing known", node)
	}
	return syncer.Retired{State: row.State, By: row.By, At: row.At}, nil
}
