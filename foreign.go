package replicator

import "replicator/store"

type (
	// A Foreign is the Pebble directory of another program, open for reading.
	Foreign = store.Foreign
	// A ForeignRow is a key and its value, valid until the next one is asked for.
	ForeignRow = store.ForeignRow
	// A ForeignError reports a directory that OpenForeign does not read, and why.
	ForeignError = store.ForeignError
)

// OpenForeign opens the Pebble directory of another program, to take over what is in
// it: Foreign.Rows yields the keys and values, and nothing is changed. No other
// process can open it meanwhile. This process must not have it open: the lock of
// that would be lost. Errors: *LockedError, *ForeignError.
func OpenForeign(dir string) (*Foreign, error) { return store.OpenForeign(dir) }
