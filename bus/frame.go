package bus

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"iter"
)

// A frame is one piece of a body:
//
//	byte  0      0x02, which no body of the protocol begins with
//	bytes 1..8   id of the body, unique at its sender
//	bytes 9..12  index of this frame, from 0
//	bytes 13..16 count of frames of the body
//	bytes 17..24 length of the whole body
//	bytes 25..28 CRC-32C of the piece
//	bytes 29..   the piece
//
// Integers are big-endian. A body that fits one message and does not begin
// with 0x02 travels bare, so that people can read it on the wire.
const (
	frameMark = 0x02
	// FrameOverhead is what a frame adds to the piece it carries.
	FrameOverhead = 1 + 8 + 4 + 4 + 8 + 4
	// MinFrame is the smallest limit that Frames works with. A connection that
	// takes less than this in one message carries no bodies that need frames.
	MinFrame = 256
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type frame struct {
	id           uint64
	index, count uint32
	total        uint64
	piece        []byte
}

// Frames cuts body into messages of at most limit bytes each, headers of the
// frames included. A body that fits and does not begin with 0x02 is yielded
// itself; everything else yielded is freshly allocated. The id tells bodies of
// one sender apart and must not be used twice within the receiver's timeout. A
// limit below MinFrame counts as MinFrame.
func Frames(body []byte, id uint64, limit int) iter.Seq[[]byte] {
	limit = max(limit, MinFrame)
	return func(yield func([]byte) bool) {
		if len(body) <= limit && !isFrame(body) {
			yield(body)
			return
		}
		size := limit - FrameOverhead
		f := frame{id: id, count: uint32((len(body) + size - 1) / size), total: uint64(len(body))}
		for rest := body; len(rest) > 0; f.index++ {
			f.piece = rest[:min(size, len(rest))]
			rest = rest[len(f.piece):]
			if !yield(f.encode()) {
				return
			}
		}
	}
}

func isFrame(body []byte) bool { return len(body) > 0 && body[0] == frameMark }

func (f *frame) encode() []byte {
	b := make([]byte, 0, FrameOverhead+len(f.piece))
	b = append(b, frameMark)
	b = binary.BigEndian.AppendUint64(b, f.id)
	b = binary.BigEndian.AppendUint32(b, f.index)
	b = binary.BigEndian.AppendUint32(b, f.count)
	b = binary.BigEndian.AppendUint64(b, f.total)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(f.piece, castagnoli))
	return append(b, f.piece...)
}

// decodeFrame checks what one frame can tell by itself. Its piece is a part of
// body. Nothing is allocated for what the frame claims.
func decodeFrame(body []byte) (frame, error) {
	if len(body) < FrameOverhead {
		return frame{}, fmt.Errorf("%w: %d bytes are too short", ErrBadFrame, len(body))
	}
	f := frame{
		id:    binary.BigEndian.Uint64(body[1:]),
		index: binary.BigEndian.Uint32(body[9:]),
		count: binary.BigEndian.Uint32(body[13:]),
		total: binary.BigEndian.Uint64(body[17:]),
		piece: body[FrameOverhead:],
	}
	size := uint64(len(f.piece))
	switch {
	case f.index >= f.count:
		return f, fmt.Errorf("%w: index %d of %d", ErrBadFrame, f.index, f.count)
	case size == 0, size > f.total, f.total < uint64(f.count), f.count == 1 && size != f.total:
		return f, fmt.Errorf("%w: %d bytes in frame %d of %d, %d in all", ErrBadFrame, size, f.index, f.count, f.total)
	case crc32.Checksum(f.piece, castagnoli) != binary.BigEndian.Uint32(body[25:]):
		return f, fmt.Errorf("%w: checksum of frame %d of %d", ErrBadFrame, f.index, f.count)
	}
	return f, nil
}
