package main

import (
	"fmt"
	"io"
	"os"

	"github.com/vbauerster/mpb/v8/decor"

	"replicator/api"
)

type importCmd struct {
	bucketFlag
	nodeFlag
	jsonFlag
	File    string `arg:"" help:"The file; - reads standard input."`
	Create  bool   `help:"Make the bucket if nobody has it."`
	SkipBad bool   `help:"Name bad lines and go on."`
}

// Help implements kong.HelpProvider.
func (importCmd) Help() string {
	return `Examples:

    replicator import backup.ndjson
    zcat records.ndjson.gz | replicator import - -b debian --create --skip-bad

Each line is {"key":..., "value":...}, or key_b64 and value_b64 for bytes that are not UTF-8; with "type" it says what the value is, with "ttl" or "expiry" it has an end, and {"key":..., "deleted":true} deletes. Each is written as a new write of the node, one that has the very value, type and end already is left alone. What export --full adds is read over.`
}

// Run imports the file and says what that changed.
func (c *importCmd) Run(a *app) error {
	if err := checkBucket(c.Bucket); err != nil {
		return err
	}
	in, size, err := c.open(a)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	client, done, err := a.client(c.Node)
	if err != nil {
		return err
	}
	defer done()
	bar := newMeter(a.err, "import", size, decor.CountersKibiByte("% .1f / % .1f"))
	defer bar.close()
	im := newImporter(a.ctx, client, c.Bucket, api.LoadOptions{Create: c.Create, SkipUnchanged: true})
	im.skipBad, im.timeout, im.bad = c.SkipBad, max(importTimeout, a.flags.Timeout), a.skipped
	t, err := im.read(newLineReader(in), bar.add)
	bar.close()
	if err != nil {
		return c.stopped(t, err)
	}
	return c.print(a, t)
}

func (c *importCmd) open(a *app) (io.ReadCloser, int64, error) {
	if c.File == "-" {
		return io.NopCloser(a.in), 0, nil
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// stopped says how far an import came that did not come to its end.
func (c *importCmd) stopped(t tally, err error) error {
	done := t.Written + t.Unchanged
	if isRecordError(err) {
		return fmt.Errorf("%w; %d lines were imported, --skip-bad goes on after a bad one", err, done)
	}
	if done == 0 {
		return err
	}
	return fmt.Errorf("%w; %d lines were imported, importing the file again does the rest", err, done)
}

func (c *importCmd) print(a *app, t tally) error {
	if c.JSON {
		return a.printJSON(t)
	}
	bad := ""
	if t.Bad > 0 {
		bad = fmt.Sprintf(", %d bad lines skipped", t.Bad)
	}
	return a.printTally(t, bad)
}

// skipped names a record that is left out.
func (a *app) skipped(err error) {
	_, _ = fmt.Fprintln(a.err, "replicator: skipped "+plainLine(err.Error()))
}

func (a *app) printTally(t tally, bad string) error {
	if t.Written == 0 {
		return a.printf("nothing to write: %d keys unchanged%s\n", t.Unchanged, bad)
	}
	rate := float64(t.Written+t.Unchanged) / max(t.Seconds, 1e-3)
	return a.printf("%s written, %d unchanged%s, in %.1f s (%.0f keys/s)\n", keyCount(t.Written), t.Unchanged, bad, t.Seconds, rate)
}
