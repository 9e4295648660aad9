package bench

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
)

// closers end what was begun, the last first.
type closers []func() error

// begin gives each a folder of its own. One that fails has ended itself.
func (c *closers) begin(dir, name string, start func(dir string) (end func() error, err error)) error {
	dir = filepath.Join(dir, name)
	if err := os.Mkdir(dir, 0o750); err != nil {
		return errors.Join(err, c.close())
	}
	end, err := start(dir)
	if err != nil {
		return errors.Join(err, c.close())
	}
	*c = append(*c, end)
	return nil
}

func (c *closers) close() error {
	var errs []error
	for _, end := range slices.Backward(*c) {
		errs = append(errs, end())
	}
	*c = nil
	return errors.Join(errs...)
}
