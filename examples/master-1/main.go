// Command master-1 is the first half of the two-master example: it writes a
// counter every second and shows what MASTER-2 writes. It wants a NATS server
// on NATS_URL, by default nats://127.0.0.1:4222.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"replicator"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	url := os.Getenv("NATS_URL")
	if url == "" {
		url = nats.DefaultURL
	}
	nc, err := nats.Connect(url, replicator.ConnectOptions("MASTER-1", nil)...)
	if err != nil {
		return err
	}
	defer nc.Close()
	node, err := replicator.Open(ctx, replicator.Config{Node: "MASTER-1", Dir: "./master-1-data", Conn: nc})
	if err != nil {
		return err
	}
	defer func() {
		if err := node.Close(); err != nil {
			log.Print(err)
		}
	}()
	b, err := node.Bucket(replicator.DefaultBucket)
	if err != nil {
		return err
	}
	go show(b.Watch(ctx, replicator.WatchOptions{Prefix: []byte("master-2/")}))
	return count(ctx, b)
}

func count(ctx context.Context, b *replicator.Bucket) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if _, err := b.Put(ctx, []byte("master-1/counter"), fmt.Append(nil, i)); err != nil {
			return err
		}
	}
}

func show(changes func(func(replicator.WatchEvent, error) bool)) {
	for change, err := range changes {
		if err != nil {
			log.Print(err)
			return
		}
		fmt.Printf("%s = %s\n", change.Entry.Key, change.Entry.Value)
	}
}
