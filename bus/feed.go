package bus

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// A feed is one subscription, and the watch over what it drops.
type feed struct {
	kind   Kind
	bucket string
	sub    *nats.Subscription
	stop   chan struct{}
}

func (b *Bus) open(kind Kind, bucket, subject string, take func(*nats.Msg)) (*feed, error) {
	sub, err := b.nc.Subscribe(subject, func(m *nats.Msg) {
		if !b.gate.enter() {
			return
		}
		defer b.gate.leave()
		b.stats.in[kind].add(len(m.Data))
		take(m)
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe %s: %w", subject, offline(err))
	}
	f := &feed{kind: kind, bucket: bucket, sub: sub, stop: make(chan struct{})}
	if kind == KindLive {
		if err := sub.SetPendingLimits(nats.DefaultSubPendingMsgsLimit, b.opts.PendingBytes); err != nil {
			return nil, errors.Join(fmt.Errorf("limit %s: %w", subject, err), f.close())
		}
	}
	status := sub.StatusChanged(nats.SubscriptionSlowConsumer, nats.SubscriptionActive)
	b.running.Add(1)
	go b.watchDrops(f, status)
	return f, nil
}

// watchDrops tells when a feed begins to drop messages, and when it recovers
// how many more were lost since. Closing the connection does not close status
// (nats.go 1.55), hence the own stop.
func (b *Bus) watchDrops(f *feed, status <-chan nats.SubStatus) {
	defer b.running.Done()
	seen := 0
	for {
		select {
		case <-f.stop:
			return
		case _, ok := <-status:
			if !ok {
				return
			}
			seen = b.tellDrops(f, seen)
		}
	}
}

func (b *Bus) tellDrops(f *feed, seen int) int {
	dropped, err := f.sub.Dropped()
	if err != nil || dropped <= seen { // an error means it is closed already
		return seen
	}
	lost := int64(dropped - seen)
	b.stats.slowDrops.Add(uint64(lost))
	b.notify(Notice{
		State: Lost, Kind: f.kind, Bucket: f.bucket, Subject: f.sub.Subject,
		Dropped: lost, Err: nats.ErrSlowConsumer,
	})
	return dropped
}

// close ends the subscription; messages that still wait in it are dropped. It
// does not wait for one that is being delivered.
func (f *feed) close() error {
	close(f.stop)
	err := f.sub.Unsubscribe()
	if err == nil || errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrBadSubscription) ||
		errors.Is(err, nats.ErrConnectionDraining) {
		return nil // ended, or about to end, by other hands
	}
	return fmt.Errorf("unsubscribe %s: %w", f.sub.Subject, err)
}
