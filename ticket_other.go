//go:build !linux

package replicator

// machineMemory knows no folder in memory on this system: each start that writes
// draws a new epoch.
func machineMemory() (folder string, boot []byte, ok bool) { return "", nil, false }
