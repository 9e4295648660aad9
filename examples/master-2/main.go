// Command master-2 is the second half of the two-master example: it answers
// every counter of MASTER-1 with a write of its own. Start and stop either as
// you like; when both are there, both have everything. It wants a NATS server
// on NATS_URL, by default nats://127.0.0.1:4222.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/nats-io/nats.go"

	"replicator"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := answer(ctx); err != nil {
		log.Fatal(err)
	}
}

func answer(ctx context.Context) (err error) {
	url := os.Getenv("NATS_URL")
	if url == "" {
		url = nats.DefaultURL
	}
	nc, err := nats.Connect(url, replicator.ConnectOptions("MASTER-2", nil)...)
	if err != nil {
		return err
	}
	defer nc.Close()
	node, err := replicator.Open(ctx, replicator.Config{Node: "MASTER-2", Dir: "./master-2-data", Conn: nc})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	b, err := node.Bucket(replicator.DefaultBucket)
	if err != nil {
		return err
	}
	for change, err := range b.Watch(ctx, replicator.WatchOptions{Prefix: []byte("master-1/")}) {
		if err != nil {
			return err
		}
		fmt.Printf("%s = %s\n", change.Entry.Key, change.Entry.Value)
		seen := append([]byte("saw "), change.Entry.Value...)
		if _, err := b.Put(ctx, []byte("master-2/answer"), seen); err != nil {
			return err
		}
	}
	return nil
}
