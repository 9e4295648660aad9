package bench

import "syscall"

// inMemory reports whether a folder's files are in memory.
func inMemory(dir string) bool {
	const tmpfs, ramfs = 0x01021994, 0x858458f6
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return false
	}
	kind := uint32(s.Type) //nolint:gosec // a magic number of 32 bits, however wide the field
	return kind == tmpfs || kind == ramfs
}
