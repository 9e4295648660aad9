// Command master-in-the-middle is one node that writes and many that only follow:
// for data that is made in one place and read in many. Reads go to any of them, and
// go on while the master or a replica is away. From the root of a checkout, each in
// a terminal of its own:
//
//	go run github.com/nats-io/nats-server/v2 -a 127.0.0.1
//	go run ./examples/master-in-the-middle master
//	go run ./examples/master-in-the-middle replica r1
//	go run ./examples/master-in-the-middle replica r2
//	go run ./examples/master-in-the-middle read
//
// Stop and start them as you like. NATS_URL names another NATS server; data is in
// ./master-in-the-middle-data.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"replicator"
)

const (
	key  = "counter"
	pace = 200 * time.Millisecond
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string) error {
	nc, err := nats.Connect(cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL), replicator.ConnectOptions("master-in-the-middle", nil)...)
	if err != nil {
		return err
	}
	defer nc.Close()
	switch {
	case len(args) == 1 && args[0] == "read":
		return read(ctx, nc)
	case len(args) == 1 && args[0] == "master":
		return withNode(ctx, replicator.Config{Node: "master", Conn: nc}, count)
	case len(args) == 2 && args[0] == "replica":
		return withNode(ctx, replicator.Config{Node: args[1], Conn: nc, Replica: true}, follow)
	}
	return errors.New("want one of: master, replica NAME, read")
}

// withNode does work with a node that is open.
func withNode(ctx context.Context, c replicator.Config, work func(context.Context, *replicator.Bucket) error) (err error) {
	c.Dir = filepath.Join("master-in-the-middle-data", c.Node)
	node, err := replicator.Open(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	bucket, err := node.Bucket(replicator.DefaultBucket)
	if err != nil {
		return err
	}
	return work(ctx, bucket)
}

// count is what the master does: it goes on where its own disk says that it was.
func count(ctx context.Context, b *replicator.Bucket) error {
	row, err := b.Get(ctx, []byte(key))
	if err != nil && !errors.Is(err, replicator.ErrNotFound) {
		return err
	}
	n, _ := strconv.Atoi(string(row.Value)) // from 0, the first time
	for ; ctx.Err() == nil; time.Sleep(pace) {
		n++
		if _, err := b.Put(ctx, []byte(key), fmt.Append(nil, n)); err != nil {
			return err
		}
		fmt.Println("wrote", n)
	}
	return nil
}

// follow is what a replica does: nothing. Its node pulls and answers by itself.
func follow(ctx context.Context, b *replicator.Bucket) error {
	fmt.Println("follows, with", b.Keys(), "keys from before")
	<-ctx.Done()
	return nil
}

// read has no node. It asks whichever NATS picks, of the queue group that all nodes
// are in. A put to `any` would go to masters alone.
func read(ctx context.Context, nc *nats.Conn) error {
	for ; ctx.Err() == nil; time.Sleep(pace) {
		asking, cancel := context.WithTimeout(ctx, 5*time.Second)
		reply, err := nc.RequestWithContext(asking, "replicator.default.api.any.get", []byte(key))
		cancel()
		switch {
		case err != nil:
			fmt.Println("nobody answers:", err)
		case reply.Header.Get("Nats-Service-Error") != "":
			fmt.Println("refused:", reply.Header.Get("Nats-Service-Error"))
		default:
			fmt.Printf("%s = %s, says %s\n", key, reply.Data, reply.Header.Get("Replicator-Node"))
		}
	}
	return nil
}
