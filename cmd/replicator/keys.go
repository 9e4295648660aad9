package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
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
	lifeFlags
	Type string `placeholder:"TYPE" help:"What the value is, as application/json: kept with it. At most 255 bytes of printable ASCII."`
	waitFlag
}

// lifeFlags say how long a row lives.
type lifeFlags struct {
	TTL     *time.Duration `name:"ttl" xor:"life" placeholder:"TIME" help:"The value is gone after that, as 90s or 24h, on every node by its own clock."`
	Expires *moment        `xor:"life" placeholder:"WHEN" help:"The same as a moment: 2030-01-31T12:00:00Z."`
}

func (f lifeFlags) set(o *api.PutOptions) error {
	switch {
	case f.TTL != nil && *f.TTL <= 0:
		return usage(fmt.Errorf("--ttl %v: want a time above 0", *f.TTL))
	case f.TTL != nil:
		o.TTL = *f.TTL
	case f.Expires != nil && f.Expires.Before(time.Now()):
		return usage(fmt.Errorf("--expires %s: is past; replicator del deletes", f.Expires.Format(time.RFC3339)))
	case f.Expires != nil:
		o.Expiry = f.Expires.UnixMilli()
	}
	return nil
}

// Help implements kong.HelpProvider.
func (putCmd) Help() string {
	return `Examples:

    replicator put colour red
    replicator put -b photos --create --type image/jpeg cat.jpg - < cat.jpg
    replicator put session/7 token --ttl 30m
    replicator put order/9 paid --wait 2 --timeout 5s
    replicator put -- -5 "a key that begins with a hyphen"`
}

// Run writes the value and prints which write that was.
func (c *putCmd) Run(a *app) error { return c.write(a, api.Condition{}) }

func (c *putCmd) write(a *app, cond api.Condition) error {
	o := api.PutOptions{Create: c.Create, Type: c.Type, If: cond}
	if err := errors.Join(c.set(&o), c.check()); err != nil {
		return err
	}
	if err := oplog.CheckType(c.Type); err != nil {
		return usage(fmt.Errorf("--type: %w", err))
	}
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
	if err := c.checkAt(a, client, c.Bucket); err != nil {
		return err
	}
	res, err := client.Put(a.ctx, c.Bucket, key, value, o)
	if err != nil {
		return err
	}
	return c.printHeld(a, client, c.Bucket, c.JSON, res)
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
	afterFlag
	Keys []string `name:"key" arg:"" help:"The key, or several."`
}

// Help implements kong.HelpProvider.
func (getCmd) Help() string {
	return `Examples:

    replicator get colour
    replicator get -b photos cat.jpg > cat.jpg
    replicator get colour --json
    replicator get colour size weight

The bytes of the value alone are printed, no newline is added. --json adds who wrote it and which node answered; several keys are always printed so, one a line. A key that is not there is exit code 3, also if others are.`
}

// Run prints the value.
func (c *getCmd) Run(a *app) error {
	ctx, err := c.context(a.ctx)
	if err != nil {
		return err
	}
	keys := make([][]byte, len(c.Keys))
	for i, arg := range c.Keys {
		if keys[i], err = c.key(arg); err != nil {
			return err
		}
	}
	client, done, err := a.bucketClient(c.Bucket, c.Node)
	if err != nil {
		return err
	}
	defer done()
	if len(keys) > 1 {
		return c.many(ctx, a, client, keys)
	}
	key := keys[0]
	r, err := client.Get(ctx, c.Bucket, key)
	if err != nil {
		return missing(err, c.show(key), c.Bucket)
	}
	if c.JSON {
		return a.printRecord(&r)
	}
	_, err = a.out.Write(r.Value)
	return err
}

// many prints the rows of several keys, and names one that has none.
func (c *getCmd) many(ctx context.Context, a *app, client *api.Client, keys [][]byte) error {
	found, err := client.GetMany(ctx, c.Bucket, keys...)
	for i := range found {
		if err := a.printRecord(&found[i]); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	for _, key := range keys {
		if len(found) == 0 || !bytes.Equal(found[0].Key, key) {
			return missing(api.ErrNotFound, c.show(key), c.Bucket)
		}
		found = found[1:]
	}
	return nil
}

type delCmd struct {
	bucketFlag
	nodeFlag
	keyFlag
	jsonFlag
	yesFlag
	Key string `arg:"" optional:"" help:"The key."`
	waitFlag
	IfLocal string  `xor:"what" placeholder:"REVISION" help:"Only if the row at the node is still that one, as put prints it and get --json tells it: origin:seq."`
	Under   *string `xor:"what" placeholder:"PREFIX" help:"Every key that begins so, one after the other."`
}

// Help implements kong.HelpProvider.
func (delCmd) Help() string {
	return `Examples:

    replicator del colour
    replicator del --key-b64 AP8=
    replicator del --under session/

A key that is not there is exit code 3. That all keys of a bucket go, with --under '', is to be confirmed.`
}

// Run deletes the key and prints which write that was.
func (c *delCmd) Run(a *app) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Under != nil {
		return c.runPrefix(a)
	}
	cond, err := revisionFlag(c.IfLocal)
	if err != nil {
		return err
	}
	key, err := c.key(c.Key)
	if err != nil {
		return err
	}
	client, done, err := a.bucketClient(c.Bucket, c.Node)
	if err != nil {
		return err
	}
	defer done()
	if err := c.checkAt(a, client, c.Bucket); err != nil {
		return err
	}
	var res api.PutResult
	if c.IfLocal != "" {
		res, err = client.DeleteLocal(a.ctx, c.Bucket, key, cond.Revision)
	} else {
		res, err = client.Delete(a.ctx, c.Bucket, key)
	}
	if err != nil {
		return missing(err, c.show(key), c.Bucket)
	}
	return c.printHeld(a, client, c.Bucket, c.JSON, res)
}

// runPrefix deletes the keys and prints how many.
func (c *delCmd) runPrefix(a *app) error {
	if c.Key != "" || c.Wait != "" {
		return usage(errors.New("--under goes neither with a key nor with --wait"))
	}
	prefix, err := c.bytes(*c.Under)
	if err != nil {
		return err
	}
	if len(prefix) == 0 {
		if err := a.confirm("All keys of bucket "+c.Bucket+" are deleted, on all nodes.", c.yesFlag); err != nil {
			return err
		}
	}
	client, done, err := a.bucketClient(c.Bucket, c.Node)
	if err != nil {
		return err
	}
	defer done()
	deleted, err := client.DeletePrefix(a.ctx, c.Bucket, prefix)
	if err != nil {
		return fmt.Errorf("%w; before that %s deleted", err, keyCount(deleted))
	}
	if c.JSON {
		return a.printJSON(map[string]int{"v": 1, "deleted": deleted})
	}
	return a.printf("%s deleted\n", keyCount(deleted))
}

func keyCount[N int | uint64](n N) string {
	if n == 1 {
		return "1 key"
	}
	return fmt.Sprintf("%d keys", n)
}

// revisionFlag reads the revision that a flag gives, if it does.
func revisionFlag(text string) (api.Condition, error) {
	cond, err := api.ParseCondition(text)
	if err != nil || cond.Absent {
		return cond, usage(fmt.Errorf("--if-local %q: want a revision as put prints it, origin:seq", text))
	}
	return cond, nil
}

// missing names the key in an error that says it is not there.
func missing(err error, key, bucket string) error {
	if errors.Is(err, api.ErrNotFound) {
		return fmt.Errorf("%w: %s in bucket %s", api.ErrNotFound, key, bucket)
	}
	return err
}
