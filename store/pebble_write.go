package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

type pebbleBatch struct {
	b    *pebble.Batch
	done bool
}

func (b *pebbleBatch) Set(key, value []byte) { _ = b.b.Set(key, value, nil) }
func (b *pebbleBatch) Delete(key []byte)     { _ = b.b.Delete(key, nil) }
func (b *pebbleBatch) Len() int              { return b.b.Len() }

func (b *pebbleBatch) DeleteRange(lower, upper []byte) { _ = b.b.DeleteRange(lower, upper, nil) }

// NewBatch implements KV.
func (kv *pebbleKV) NewBatch() Batch { return &pebbleBatch{b: kv.db.NewBatch()} }

// Commit implements KV.
func (kv *pebbleKV) Commit(b Batch) error {
	pb, ok := b.(*pebbleBatch)
	if !ok || pb.done {
		return errors.New("store: not a fresh batch of this KV")
	}
	if err := kv.enter(); err != nil {
		return err
	}
	defer kv.leave()
	pb.done = true
	kv.failure.waiting(1)
	defer kv.failure.waiting(-1)
	err := kv.abandonable(func() error { return kv.db.Apply(pb.b, pebble.NoSync) })
	if err != nil {
		return fmt.Errorf("store: commit: %w", err)
	}
	kv.committed.Add(1)
	return pb.b.Close()
}

// Sync implements KV.
func (kv *pebbleKV) Sync() error {
	if err := kv.enter(); err != nil {
		return err
	}
	defer kv.leave()
	return kv.syncWAL()
}

// syncWAL syncs the WAL unless that was done since the last commit.
func (kv *pebbleKV) syncWAL() error {
	if err := kv.failure.get(); err != nil {
		return fmt.Errorf("store: sync: %w", err)
	}
	upTo := kv.committed.Load()
	if kv.synced.Load() >= upTo {
		return nil
	}
	if err := kv.abandonable(func() error { return kv.db.LogData(nil, pebble.Sync) }); err != nil {
		return fmt.Errorf("store: sync: %w", err)
	}
	for {
		was := kv.synced.Load()
		if was >= upTo || kv.synced.CompareAndSwap(was, upTo) {
			return nil
		}
	}
}

// abandonable runs do unless the KV failed. An error of it is a failure.
func (kv *pebbleKV) abandonable(do func() error) error {
	if err := kv.failure.get(); err != nil {
		return err
	}
	err := kv.await(do)
	if err != nil {
		kv.failure.set(err)
	}
	return err
}

// await runs do on a goroutine of its own and stops waiting for it once the KV
// failed: a write that met a broken WAL never returns, see guardFS, and a
// goroutine of Pebble that Fatalf has ended is waited for in vain.
func (kv *pebbleKV) await(do func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("store: pebble gave up") // stands if do ends by Goexit
		defer func() { done <- err }()
		defer kv.rescue(&err)
		err = do()
	}()
	select {
	case err := <-done:
		return err
	case <-kv.failure.done:
		return kv.failure.get()
	}
}
