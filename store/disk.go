package store

import "github.com/cockroachdb/pebble/v2/vfs"

// DefaultLowWater is the free disk space, in bytes, below which a store should
// stop writing: what Pebble needs to flush what it has, and to be opened again.
const DefaultLowWater = 64 << 20

// FreeBytes returns how many bytes this process may still write to the file
// system that holds dir.
func FreeBytes(dir string) (uint64, error) {
	usage, err := vfs.Default.GetDiskUsage(dir)
	return usage.AvailBytes, err
}

// GuardDisk makes the store read-only while free is below lowWater, with a
// *LowDiskError, and lets it write again once an eighth more than that is free.
// Call it on a ticker with what FreeBytes says.
func (s *Store) GuardDisk(free, lowWater uint64) {
	switch low := s.lowDisk.Load(); {
	case free < lowWater:
		s.lowDisk.Store(&LowDiskError{Free: free, LowWater: lowWater})
	case low != nil && free >= lowWater+lowWater/8:
		s.lowDisk.Store(nil)
	}
}
