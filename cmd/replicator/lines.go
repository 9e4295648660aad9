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

// A lineError names a line that cannot be imported. The next one can be read.
type lineError struct {
	Number int
	Err    error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.Number, e.Err) }

func (e *lineError) Unwrap() error { return e.Err }

// next returns the next record, a *lineError for a bad line, or io.EOF. Empty
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
			return r, &lineError{Number: l.number, Err: err}
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
	case len(r.Key) == 0:
		return r, errors.New("the key is empty")
	case len(r.Key) > oplog.MaxKey:
		return r, fmt.Errorf("the key has %d bytes, the limit is %d", len(r.Key), oplog.MaxKey)
	case len(r.Value) > oplog.MaxValue:
		return r, fmt.Errorf("the value has %d bytes, the limit is %d", len(r.Value), oplog.MaxValue)
	}
	return r, nil
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
				return nil, &lineError{Number: l.number, Err: fmt.Errorf("%d bytes, the limit is %d", l.size, maxLine)}
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
