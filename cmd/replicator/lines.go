package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"replicator/api"
	"replicator/oplog"
)

// maxLine is the longest line of an import: the largest value with each byte
// escaped, and room for the rest.
const maxLine = 6*oplog.MaxValue + 64<<10

// A lineReader reads records of an import, one a line.
type lineReader struct {
	r      *bufio.Reader
	number int // of the line read last, from 1
	size   int // its bytes
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 1<<20)}
}

// last implements records.
func (l *lineReader) last() (number, size int) { return l.number, l.size }

func (l *lineReader) bad(err error) error {
	return &recordError{Where: lineName(l.number), Err: err}
}

func lineName(number int) string { return fmt.Sprintf("line %d", number) }

// next returns the next record, a *recordError for a bad line, or io.EOF. Empty
// lines are passed over.
func (l *lineReader) next() (api.Record, error) {
	l.size = 0
	for {
		line, err := l.line()
		if err != nil {
			return api.Record{}, err
		}
		if len(line) == 0 {
			continue
		}
		r, err := readRecord(line)
		if err != nil {
			return r, l.bad(err)
		}
		return r, nil
	}
}

func readRecord(line []byte) (api.Record, error) {
	r, err := api.ParseRecord(line)
	switch {
	case err != nil:
		return r, err
	case r.Bare && !r.Deleted:
		return r, errors.New("no value")
	}
	return r, errors.Join(checkRow(r.Key, r.Value), oplog.CheckType(r.Type))
}

// checkRow says what no node would take.
func checkRow(key, value []byte) error {
	switch {
	case len(key) == 0:
		return errors.New("the key is empty")
	case len(key) > oplog.MaxKey:
		return fmt.Errorf("the key has %d bytes, the limit is %d", len(key), oplog.MaxKey)
	case len(value) > oplog.MaxValue:
		return fmt.Errorf("the value has %d bytes, the limit is %d", len(value), oplog.MaxValue)
	}
	return nil
}

// line returns the next line without its end. The slice is valid until the
// next call, as bufio's.
func (l *lineReader) line() ([]byte, error) {
	var long []byte
	for {
		piece, err := l.r.ReadSlice('\n')
		l.size += len(piece)
		whole := err == nil || errors.Is(err, io.EOF) && len(long)+len(piece) > 0
		switch {
		case whole && len(long) == 0:
			l.number++
			return bytes.TrimSpace(piece), nil
		case whole:
			l.number++
			if l.size > maxLine {
				return nil, l.bad(fmt.Errorf("%d bytes, the limit is %d", l.size, maxLine))
			}
			return bytes.TrimSpace(append(long, piece...)), nil
		case errors.Is(err, bufio.ErrBufferFull):
			if l.size <= maxLine {
				long = append(long, piece...)
			}
		default:
			return nil, err
		}
	}
}
