package replicator

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"replicator/store"
)

// A ticketFile is where the ticket of a clean stop waits for the next start: a
// file in the machine's memory, outside of the data folder. It goes with the
// power, stays behind when a disk is copied or restored, and can be taken once.
type ticketFile struct {
	path string // empty: this machine has no place for it
	boot []byte // names the time since the machine was switched on
}

// ticketOf returns the place of the ticket of the store in dir.
func ticketOf(dir string) ticketFile {
	full, err := filepath.Abs(dir)
	if err != nil {
		return ticketFile{}
	}
	folder, boot, ok := machineMemory()
	if !ok {
		return ticketFile{}
	}
	sum := sha256.Sum256([]byte(full))
	name := fmt.Sprintf("replicator-%d-%s.ticket", os.Getuid(), hex.EncodeToString(sum[:12]))
	return ticketFile{path: filepath.Join(folder, name), boot: boot}
}

// take returns the ticket and removes it. Only who has removed it may use it: of
// two starts at the same time one finds nothing to remove.
func (f ticketFile) take() (t store.Ticket, err error) {
	if f.path == "" {
		return t, nil
	}
	content, err := os.ReadFile(f.path)
	if err == nil {
		err = os.Remove(f.path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return t, fmt.Errorf("ticket of the last clean stop: %w", err)
	}
	ticket, sameBoot := bytes.CutSuffix(content, f.boot)
	if !sameBoot || len(ticket) != len(t) {
		return t, nil
	}
	copy(t[:], ticket)
	return t, nil
}

// put leaves the ticket for the next start.
func (f ticketFile) put(t store.Ticket) error {
	if f.path == "" || t.IsZero() {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+".*") // for our user alone
	if err != nil {
		return fmt.Errorf("ticket of a clean stop: %w", err)
	}
	_, err = tmp.Write(append(t[:], f.boot...))
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), f.path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // it would only lie there
		return fmt.Errorf("ticket of a clean stop: %w", err)
	}
	return nil
}

// DropTicket removes what the last clean stop of the node in dir left in the machine's
// memory for its next start: of a folder that is about to be deleted.
func DropTicket(dir string) error {
	_, err := ticketOf(dir).take()
	return err
}
