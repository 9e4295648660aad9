package bench

import (
	"errors"
	"os"
	"path/filepath"
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
	for i := len(*c) - 1; i >= 0; i-- {
		errs = append(errs, (*c)[i]())
	}
	*c = nil
	return errors.Join(errs...)
}
