package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"replicator/api"
)

type batchCmd struct {
	bucketFlag
	nodeFlag
	jsonFlag
	File   string `arg:"" help:"The file; - reads standard input."`
	Create bool   `help:"Make the bucket if nobody has it."`
	waitFlag
}

// Help implements kong.HelpProvider.
func (batchCmd) Help() string {
	return `Examples:

    printf '%s\n' '{"key":"stock/a","value":"7"}' '{"key":"stock/b","deleted":true}' | replicator batch -

Each line is {"key":..., "value":...}, or {"key":..., "deleted":true}, as for import; key_b64 and value_b64 are for bytes that are not UTF-8. A line may have a type, as "image/png", a ttl, as "90s", or an expiry, and under if_local "absent" or a revision: the row that the node has to have. All of them are written or, if one cannot be, none. At most 65536 lines and 16 MiB.`
}

// Run writes the file as one and prints which writes that became.
func (c *batchCmd) Run(a *app) error {
	if err := errors.Join(c.check(), checkBucket(c.Bucket)); err != nil {
		return err
	}
	lines, err := c.read(a)
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
	res, err := client.Batch(a.ctx, c.Bucket, lines, api.PutOptions{Create: c.Create})
	if err != nil {
		return err
	}
	if err := c.print(a, res); err != nil || res.Written == 0 {
		return err
	}
	token, err := res.Token()
	if err != nil {
		return err
	}
	return c.hold(a, client, c.Bucket, token)
}

// read gathers the records of one request.
func (c *batchCmd) read(a *app) ([]byte, error) {
	in := a.in
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // only read
		in = f
	}
	var lines []byte
	for reader := newLineReader(in); ; {
		r, err := reader.next()
		switch {
		case errors.Is(err, io.EOF):
			return lines, nil
		case err != nil:
			return nil, fmt.Errorf("%w; nothing was written", err)
		}
		plain := api.Record{Key: r.Key, Value: r.Value, Bare: r.Bare, Deleted: r.Deleted, Expiry: r.Expiry, Type: r.Type, TTL: r.TTL, If: r.If}
		if lines = append(plain.AppendJSON(lines), '\n'); len(lines) > api.MaxBody {
			return nil, fmt.Errorf("the batch is larger than the limit of %d bytes; nothing was written", api.MaxBody)
		}
	}
}

func (c *batchCmd) print(a *app, res api.BatchResult) error {
	switch {
	case c.JSON:
		return a.printJSON(res)
	case res.Written == 0:
		return a.printf("nothing to write\n")
	}
	return a.printf("%s:%d\n", res.Origin, res.Last) // the token of all of it
}
