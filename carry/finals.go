package carry

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
)

// finalPrefix begins the keys in syncer.Fleet of origins that are written no more:
// final/<bucket>/<node>/<16 hex digits of the epoch>.
const finalPrefix = "final/"

// maxFinals bounds how many are read: the first in order of key, so that nodes
// with equal rows have equal lists.
const maxFinals = oplog.MaxClock

// A finalRow is the value behind such a key.
type finalRow struct {
	V   int       `json:"v"`
	Seq oplog.Seq `json:"seq"`
}

// TellFinals returns the writes to syncer.Fleet that put the last seqs of origins
// on the list.
func TellFinals(a syncer.TellFinals) ([]store.Op, error) {
	ops := make([]store.Op, 0, len(a.Finals))
	for _, o := range a.Finals.Origins() {
		value, err := json.Marshal(finalRow{V: 1, Seq: a.Finals[o]})
		if err != nil {
			return nil, err
		}
		ops = append(ops, store.Op{Key: []byte(finalPrefix + a.Bucket + "/" + o.String()), Value: value})
	}
	return ops, nil
}

// Finals reads from syncer.Fleet, by bucket, the last seqs of origins that are
// written no more. Rows that cannot be read are left out and make the error; the
// map is nil if the store fails.
func Finals(s *store.Store) (map[string]oplog.Clock, error) {
	finals := map[string]oplog.Clock{}
	b, ok := s.Bucket(syncer.Fleet)
	if !ok {
		return finals, nil
	}
	var bad error // the first: there may be as many as rows
	for e, err := range fleetRows(b, finalPrefix, maxFinals) {
		if err != nil && !store.IsCorrupt(err) {
			return nil, err
		}
		var bucket string
		var o oplog.Origin
		var seq oplog.Seq
		if err == nil {
			bucket, o, seq, err = parseFinal(string(e.Key[len(finalPrefix):]), e.Value)
		}
		if err != nil {
			if bad == nil {
				bad = err
			}
			continue
		}
		if finals[bucket] == nil {
			finals[bucket] = oplog.Clock{}
		}
		finals[bucket][o] = seq
	}
	return finals, bad
}

func parseFinal(key string, value []byte) (bucket string, o oplog.Origin, seq oplog.Seq, err error) {
	bucket, rest, _ := strings.Cut(key, "/")
	if o, err = oplog.ParseOrigin(rest); err != nil || o.Epoch == 0 || !oplog.ValidName(bucket) || len(value) > maxRow {
		return "", o, 0, errors.New("a row on an ended origin has no names in its key, or is too long")
	}
	var row finalRow
	if err := json.Unmarshal(value, &row); err != nil {
		return "", o, 0, fmt.Errorf("row on origin %s: %w", o, err)
	}
	if row.V != 1 || row.Seq == 0 {
		return "", o, 0, fmt.Errorf("row on origin %s: of another version, or says nothing known", o)
	}
	return bucket, o, row.Seq, nil
}
