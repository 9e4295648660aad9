package carry

import (
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
	ev.Err = err
	return applied, ev
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
		token = &store.Token{Cursor: a.Token.Cursor, Claim: a.Token.Claim}
	}
	applied, err := b.ApplyPage(now, a.Entries, token)
	ev.Err = err
	return applied, ev
}

// End moves the clock at the end of a pull.
func End(s *store.Store, now time.Time, a syncer.EndPull) syncer.PullEnded {
	ev := syncer.PullEnded{Bucket: a.Bucket, Session: a.Session}
	b, err := held(s, a.Bucket)
	if err == nil {
		err = b.EndPull(now, a.Claim)
	}
	ev.Err = err
	return ev
}
