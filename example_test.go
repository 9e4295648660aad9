package replicator_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"replicator"
)

// exampleServer stands for the NATS server that a fleet has anyway.
func exampleServer() (url string, stop func()) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	if err != nil {
		log.Fatal(err)
	}
	s.Start()
	return s.ClientURL(), func() { s.Shutdown(); s.WaitForShutdown() }
}

// master opens a node with a store in a new folder.
func master(name, url string) (node *replicator.Node, stop func()) {
	dir, err := os.MkdirTemp("", name)
	if err != nil {
		log.Fatal(err)
	}
	nc, err := nats.Connect(url, replicator.ConnectOptions(name, nil)...)
	if err != nil {
		log.Fatal(err)
	}
	node, err = replicator.Open(context.Background(), replicator.Config{Node: name, Dir: dir, Conn: nc})
	if err != nil {
		log.Fatal(err)
	}
	return node, func() {
		if err := node.Close(); err != nil {
			log.Print(err)
		}
		nc.Close()
		_ = os.RemoveAll(dir) // a folder of this example
	}
}

// Two masters, each with its own disk. What one writes, the other has.
func Example() {
	url, stopServer := exampleServer()
	defer stopServer()
	one, stopOne := master("MASTER-1", url)
	defer stopOne()
	two, stopTwo := master("MASTER-2", url)
	defer stopTwo()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	here, err := one.Bucket(replicator.DefaultBucket)
	if err != nil {
		log.Fatal(err)
	}
	there, err := two.Bucket(replicator.DefaultBucket)
	if err != nil {
		log.Fatal(err)
	}
	changes := there.Watch(ctx, replicator.WatchOptions{})
	if _, err := here.Put(ctx, []byte("greeting"), []byte("hello from MASTER-1")); err != nil {
		log.Fatal(err)
	}
	for change, err := range changes {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s\n", change.Entry.Key, change.Entry.Value)
		break
	}
	// Output: greeting: hello from MASTER-1
}

func ExampleBucket_Scan() {
	url, stopServer := exampleServer()
	defer stopServer()
	node, stop := master("shop", url)
	defer stop()

	ctx := context.Background()
	b, err := node.CreateBucket("orders")
	if err != nil {
		log.Fatal(err)
	}
	for _, key := range []string{"2026/02", "2025/12", "2026/01"} {
		if _, err := b.Put(ctx, []byte(key), []byte("order")); err != nil {
			log.Fatal(err)
		}
	}
	for row, err := range b.Scan(ctx, replicator.ScanOptions{Prefix: []byte("2026/")}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", row.Key)
	}
	// Output:
	// 2026/01
	// 2026/02
}
