package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/vbauerster/mpb/v8/decor"

	"replicator"
	"replicator/api"
)

type adoptCmd struct {
	bucketFlag
	nodeFlag
	jsonFlag
	Dir     string `arg:"" help:"The directory. It is only read; its program must not run."`
	Under   string `placeholder:"PREFIX" help:"Only keys that begin so."`
	Strip   bool   `help:"Leave what --under says out of the keys."`
	Into    string `placeholder:"PREFIX" help:"Put this before all keys."`
	KeyB64  bool   `name:"key-b64" help:"--under and --into are base64."`
	Create  bool   `help:"Make the bucket if nobody has it."`
	SkipBad bool   `help:"Name keys that a node does not take, and go on."`
	DryRun  bool   `help:"Write nothing: count the keys, and name those that a node does not take."`
}

// Help implements kong.HelpProvider.
func (adoptCmd) Help() string {
	return `Examples:

    replicator adopt /var/lib/shop/db --dry-run
    replicator adopt /var/lib/shop/db -b shop --create
    replicator adopt /var/lib/shop/db --under user/ --strip --into north/user/

DIR is the directory of a Pebble that another program has made, and is not running on. Each of its keys is written as a new write of the node; one that has the very value already is left alone, so a run that was broken off is made again. A key that the bucket has with another value gets that of DIR. Keys are of 1 to 4096 bytes, values up to 16 MiB. Range keys, which are a thing of Pebble alone, are not taken.`
}

// Run writes the keys of the directory and says what that changed.
func (c *adoptCmd) Run(a *app) error {
	from, err := c.check()
	if err != nil {
		return err
	}
	dir, err := replicator.OpenForeign(c.Dir)
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // only read
	next, stop := iter.Pull2(dir.Rows(from.under))
	defer stop()
	from.pull = next
	work := c.write
	if c.DryRun {
		work = c.count
	}
	if err := work(a, from); err != nil {
		return err
	}
	return c.tellRangeKeys(a, dir, from.under)
}

// check reads the flags that say which keys.
func (c *adoptCmd) check() (*foreignRecords, error) {
	if c.Strip && c.Under == "" {
		return nil, usage(errors.New("--strip wants --under"))
	}
	prefix := keyFlag{c.KeyB64}
	under, err := prefix.bytes(c.Under)
	if err != nil {
		return nil, err
	}
	into, err := prefix.bytes(c.Into)
	if err != nil {
		return nil, err
	}
	return &foreignRecords{under: under, strip: c.Strip, into: into}, checkBucket(c.Bucket)
}

func (c *adoptCmd) tellRangeKeys(a *app, dir *replicator.Foreign, under []byte) error {
	some, err := dir.HasRangeKeys(under)
	if some {
		_, _ = fmt.Fprintf(a.err, "replicator: %s has range keys, which are left out: a bucket has none\n", c.Dir)
	}
	return err
}

func (c *adoptCmd) write(a *app, from *foreignRecords) error {
	client, done, err := a.client(c.Node)
	if err != nil {
		return err
	}
	defer done()
	bar := newMeter(a.err, "adopt", 0, decor.CurrentNoUnit("%d keys"))
	defer bar.close()
	im := newImporter(a.ctx, client, c.Bucket, api.LoadOptions{Create: c.Create, SkipUnchanged: true})
	im.skipBad, im.timeout, im.bad = c.SkipBad, max(importTimeout, a.flags.Timeout), a.skipped
	t, err := im.read(from, bar.add)
	bar.close()
	switch {
	case err != nil:
		return c.stopped(t, err)
	case c.JSON:
		return a.printJSON(t)
	case t.Bad > 0:
		return a.printTally(t, fmt.Sprintf(", %s left out", keyCount(t.Bad)))
	}
	return a.printTally(t, "")
}

// stopped says how far it came that did not come to its end.
func (c *adoptCmd) stopped(t tally, err error) error {
	switch done := t.Written + t.Unchanged; {
	case isRecordError(err):
		return fmt.Errorf("%w; %s before it adopted, --skip-bad leaves such keys out, --dry-run names them all", err, keyCount(done))
	case done == 0:
		return err
	default:
		return fmt.Errorf("%w; %s adopted, adopting again does the rest", err, keyCount(done))
	}
}

// A measure is what a dry run finds. It is what --json prints.
type measure struct {
	Keys  int   `json:"keys"`  // those that a node would take
	Bytes int64 `json:"bytes"` // of these keys and their values
	Bad   int   `json:"bad"`
}

// count reads all and writes nothing.
func (c *adoptCmd) count(a *app, from *foreignRecords) error {
	var m measure
	for a.ctx.Err() == nil {
		r, err := from.next()
		switch {
		case errors.Is(err, io.EOF):
			return c.printMeasure(a, m)
		case isRecordError(err):
			m.Bad++
			a.skipped(err)
		case err != nil:
			return err
		default:
			m.Keys++
			m.Bytes += int64(len(r.Key) + len(r.Value))
		}
	}
	return a.ctx.Err()
}

// printMeasure ends as the run itself would: with an error if it would stop.
func (c *adoptCmd) printMeasure(a *app, m measure) error {
	show := func() error { return a.printf("%s with %d bytes to write\n", keyCount(m.Keys), m.Bytes) }
	if c.JSON {
		show = func() error { return a.printJSON(m) }
	}
	if err := show(); err != nil || m.Bad == 0 || c.SkipBad {
		return err
	}
	return fmt.Errorf("%s not taken by a node; --skip-bad leaves such keys out", keyCount(m.Bad))
}

// A foreignRecords makes records of the rows of a Pebble directory.
type foreignRecords struct {
	pull        func() (replicator.ForeignRow, error, bool)
	under, into []byte
	strip       bool
	size        int
}

// last implements records: the meter counts keys.
func (f *foreignRecords) last() (number, size int) { return 0, f.size }

// next implements records.
func (f *foreignRecords) next() (api.Record, error) {
	f.size = 0
	row, err, ok := f.pull()
	switch {
	case err != nil:
		return api.Record{}, err
	case !ok:
		return api.Record{}, io.EOF
	}
	f.size = 1
	key := row.Key
	if f.strip {
		key = bytes.TrimPrefix(key, f.under)
	}
	r := api.Record{Key: append(bytes.Clone(f.into), key...), Value: row.Value}
	if err := checkRow(r.Key, r.Value); err != nil {
		return r, &recordError{Where: keyName(row.Key), Err: err}
	}
	return r, nil
}

// keyName names a key in an error line, the beginning of a long one.
func keyName(key []byte) string {
	const most = 80
	switch {
	case len(key) == 0:
		return "the empty key"
	case len(key) > most:
		return "key " + quoteUnreadable(key[:most]) + "..."
	}
	return "key " + quoteUnreadable(key)
}
