package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode"
	"unicode/utf8"

	"replicator/api"
	"replicator/oplog"
)

// key reads the key an argument gives.
func (f keyFlag) key(arg string) ([]byte, error) {
	key, err := f.bytes(arg)
	if err != nil {
		return nil, err
	}
	return key, checkKey(key)
}

func (f keyFlag) bytes(arg string) ([]byte, error) {
	if !f.KeyB64 {
		return []byte(arg), nil
	}
	b, err := base64.StdEncoding.DecodeString(arg)
	if err != nil {
		return nil, usage(fmt.Errorf("%q is not base64, as --key-b64 wants it", arg))
	}
	return b, nil
}

// show writes a key for people: as it is, or quoted where that would not be one
// readable line.
func (f keyFlag) show(key []byte) string {
	if f.KeyB64 {
		return base64.StdEncoding.EncodeToString(key)
	}
	return quoteUnreadable(key)
}

func quoteUnreadable(b []byte) string {
	if !utf8.Valid(b) {
		return strconv.Quote(string(b))
	}
	for _, r := range string(b) {
		if !unicode.IsPrint(r) {
			return strconv.Quote(string(b))
		}
	}
	return string(b)
}

type putCmd struct {
	bucketFlag
	nodeFlag
	keyFlag
	jsonFlag
	Key    string `arg:"" help:"The key."`
	Value  string `arg:"" help:"The value; - reads it from standard input."`
	Create bool   `help:"Make the bucket if nobody has it."`
}

// Help implements kong.HelpProvider.
func (putCmd) Help() string {
	return `Examples:

    replicator put colour red
    replicator put -b photos --create cat.jpg - < cat.jpg
    replicator put -- -5 "a key that begins with a hyphen"`
}

// Run writes the value and prints which write that was.
func (c *putCmd) Run(a *app) error {
	key, err := c.key(c.Key)
	if err != nil {
		return err
	}
	if err := checkBucket(c.Bucket); err != nil {
		return err
	}
	value, err := c.value(a)
	if err != nil {
		return err
	}
	client, done, err := a.client(c.Node)
	if err != nil {
		return err
	}
	defer done()
	res, err := client.Put(a.ctx, c.Bucket, key, value, api.PutOptions{Create: c.Create})
	if err != nil {
		return err
	}
	return a.printPut(c.JSON, res)
}

func (c *putCmd) value(a *app) ([]byte, error) {
	value := []byte(c.Value)
	if c.Value == "-" {
		var err error
		if value, err = io.ReadAll(io.LimitReader(a.in, oplog.MaxValue+1)); err != nil {
			return nil, fmt.Errorf("read the value: %w", err)
		}
	}
	if len(value) > oplog.MaxValue {
		return nil, fmt.Errorf("the value is larger than the limit of %d bytes", oplog.MaxValue)
	}
	return value, nil
}

func (a *app) printPut(asJSON bool, res api.PutResult) error {
	if asJSON {
		return a.printJSON(res)
	}
	return a.printf("%s:%d\n", res.Origin, res.Seq)
}

type getCmd struct {
	bucketFlag
	nodeFlag
	keyFlag
	jsonFlag
	Key string `arg:"" help:"The key."`
}

// Help implements kong.HelpProvider.
func (getCmd) Help() string {
	return `Examples:

    replicator get colour
    replicator get -b photos cat.jpg > cat.jpg
    replicator get colour --json

The bytes of the value alone are printed, no newline is added. --json adds who wrote it and which node answered. A key that is not there is exit code 3.`
}

// Run prints the value.
func (c *getCmd) Run(a *app) error {
	key, err := c.key(c.Key)
	if err != nil {
		return err
	}
	client, done, err := a.bucketClient(c.Bucket, c.Node)
	if err != nil {
		return err
	}
	defer done()
	r, err := client.Get(a.ctx, c.Bucket, key)
	if err != nil {
		return missing(err, c.show(key), c.Bucket)
	}
	if c.JSON {
		return a.printRecord(&r)
	}
	_, err = a.out.Write(r.Value)
	return err
}

type delCmd struct {
	bucketFlag
	nodeFlag
	keyFlag
	jsonFlag
	Key string `arg:"" help:"The key."`
}

// Help implements kong.HelpProvider.
func (delCmd) Help() string {
	return `Examples:

    replicator del colour
    replicator del --key-b64 AP8=

A key that is not there is exit code 3.`
}

// Run deletes the key and prints which write that was.
func (c *delCmd) Run(a *app) error {
	key, err := c.key(c.Key)
	if err != nil {
		return err
	}
	client, done, err := a.bucketClient(c.Bucket, c.Node)
	if err != nil {
		return err
	}
	defer done()
	res, err := client.Delete(a.ctx, c.Bucket, key)
	if err != nil {
		return missing(err, c.show(key), c.Bucket)
	}
	return a.printPut(c.JSON, res)
}

// missing names the key in an error that says it is not there.
func missing(err error, key, bucket string) error {
	if errors.Is(err, api.ErrNotFound) {
		return fmt.Errorf("%w: %s in bucket %s", api.ErrNotFound, key, bucket)
	}
	return err
}
