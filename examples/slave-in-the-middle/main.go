// Command slave-in-the-middle is many nodes that write, each under keys of its own,
// and one that only follows and adds up. Each shop keeps its total beside its sales, so
// the centre reads one row of each. From the root of a checkout, each in a terminal:
//
//	go run github.com/nats-io/nats-server/v2 -a 127.0.0.1
//	go run ./examples/slave-in-the-middle shop-1
//	go run ./examples/slave-in-the-middle shop-2 100
//	go run ./examples/slave-in-the-middle centre
//
// shop-2 sells a hundred things in all. Stop and start them as you like: nothing is
// counted twice or lost. NATS_URL names another server; ./slave-in-the-middle-data has
// the data.
package main

import (
	"cmp"
	"context"
	"errors"
	"log"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/nats-io/nats.go"

	"replicator"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string) (err error) {
	if len(args) != 1 && len(args) != 2 {
		return errors.New("want centre, or SHOP [SALES]")
	}
	name, last := args[0], math.MaxInt
	if len(args) == 2 {
		if last, err = strconv.Atoi(args[1]); err != nil {
			return err
		}
	}
	nc, err := nats.Connect(cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL), replicator.ConnectOptions(name, nil)...)
	if err != nil {
		return err
	}
	defer nc.Close()
	node, err := replicator.Open(ctx, replicator.Config{
		Node: name, Dir: filepath.Join("slave-in-the-middle-data", name), Conn: nc, Replica: name == "centre",
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	bucket, err := node.Bucket(replicator.DefaultBucket)
	if err != nil {
		return err
	}
	if node.Replica() {
		return addUp(ctx, bucket)
	}
	return sell(ctx, bucket, name, last)
}
