package carry

import (
	"errors"
	"fmt"
	"time"

	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
)

func held(s *store.Store, name string) (*store.Bucket, error) {
	b, ok := s.Bucket(name)
	if !ok {
		return nil, fmt.Errorf("no bucket %s here", name)
	}
	return b, nil
}

// Live merges live messages of one bucket as one batch.
func Live(s *store.Store, now time.Time, list []syncer.ApplyLive) (store.Applied, syncer.LiveApplied) {
	ev := syncer.LiveApplied{Bucket: list[0].Bucket}
	messages := make([]*oplog.Live, 0, len(list))
	for _, a := range list {
		ev.Size += a.Size
		messages = append(messages, a.Message)
	}
	b, err := held(s, ev.Bucket)
	if err != nil {
		ev.Err = err
		return store.Applied{}, ev
	}
	applied, err := b.ApplyLive(now, messages)
	if err == nil && applied.Gaps > 0 {
		err = fmt.Errorf("bucket %s: %d live messages after a gap", ev.Bucket, applied.Gaps)
	}
	ev.Err = known(err)
	return applied, ev
}

// known gives the error that the engine acts upon its name there.
func known(err error) error {
	if errors.Is(err, store.ErrAmbiguous) {
		return fmt.Errorf("%w: %w", syncer.ErrAmbiguous, err)
	}
	if doubt, ok := errors.AsType[*store.DoubtfulError](err); ok {
		return new(syncer.DoubtfulError(*doubt))
	}
	return err
}

// Wipe empties a replica's bucket.
func Wipe(s *store.Store, a syncer.Wipe) syncer.Wiped {
	b, err := held(s, a.Bucket)
	if err == nil {
		err = b.Wipe(a.Clock, a.Ahead)
	}
	return syncer.Wiped{Bucket: a.Bucket, Err: err}
}

// Page merges one page of a pull.
func Page(s *store.Store, now time.Time, a syncer.ApplyPage) (store.Applied, syncer.PageApplied) {
	ev := syncer.PageApplied{Bucket: a.Bucket, Session: a.Session, Number: a.Number}
	b, err := held(s, a.Bucket)
	if err != nil {
		ev.Err = err
		return store.Applied{}, ev
	}
	var token *store.Token
	if a.Token != nil {
		token = &store.Token{Cursor: a.Token.Cursor, Claim: a.Token.Claim, Ahead: a.Token.Ahead}
	}
	var applied store.Applied
	switch {
	case a.Repair != nil:
		applied, ev.Err = b.Repair(now, a.Entries, store.Mending(*a.Repair))
	case a.Rec != nil:
		applied, ev.Err = b.Compare(now, stretch(a.Rec, *token, a.Token.Gate, a.Entries))
	default:
		applied, ev.Err = b.ApplyPage(now, a.Entries, token)
	}
	ev.Changed = len(applied.Changes)
	ev.Err = known(ev.Err)
	return applied, ev
}

// stretch makes a page of a reconcile what the store compares.
func stretch(rec *syncer.Reconcile, token store.Token, gate *syncer.Gate, entries []oplog.Entry) store.Stretch {
	token.Rec = &store.Reconcile{GCV: gate.GCV, GCTS: gate.GCTS}
	return store.Stretch{
		After: rec.After, Entries: entries, Token: token,
		Clock: rec.Clock, GCTS: rec.GCTS, HLC: rec.HLC,
	}
}

// Collect drops what the engine found to be known to all. It returns how many
// rows went.
func Collect(s *store.Store, now time.Time, a syncer.Collect) (n int, err error) {
	return collect(s, now, a.Bucket, store.CollectOptions{Stable: a.Stable, Upto: a.Upto})
}

// CollectOlder drops the bucket's tombstones that are older than age, whoever
// may not have them: rule G5. It returns how many rows went.
func CollectOlder(s *store.Store, now time.Time, bucket string, age time.Duration) (n int, err error) {
	return collect(s, now, bucket, store.CollectOptions{Force: true, Upto: oplog.HLCAt(now.Add(-age))})
}

func collect(s *store.Store, now time.Time, bucket string, o store.CollectOptions) (n int, err error) {
	b, err := held(s, bucket)
	for err == nil {
		var c store.Collected
		c, err = b.Collect(now, o)
		n += c.Tombstones + c.Expired
		if o.After = c.Next; c.Next == nil {
			break
		}
	}
	return n, err
}

// Members returns what an earlier process knew of the fleet.
func Members(s *store.Store) ([]syncer.Member, error) {
	list, err := s.Members()
	members := make([]syncer.Member, len(list))
	for i, m := range list {
		members[i] = syncer.Member(m)
	}
	return members, err
}

// End moves the clock at the end of a pull. A reconcile also changes rows.
func End(s *store.Store, now time.Time, a syncer.EndPull) (store.Applied, syncer.PullEnded) {
	ev := syncer.PullEnded{Bucket: a.Bucket, Session: a.Session}
	b, err := held(s, a.Bucket)
	if err != nil {
		ev.Err = err
		return store.Applied{}, ev
	}
	var applied store.Applied
	if a.Rec != nil {
		last := stretch(a.Rec, store.Token{Claim: a.Claim}, a.Gate, nil)
		last.Accept = store.Consent(a.Accept)
		applied, ev.Err = b.EndReconcile(now, last, a.Ahead)
	} else {
		ev.Err = b.EndPull(now, a.Claim, a.Ahead)
	}
	ev.Err = known(ev.Err)
	return applied, ev
}
