package oplog

import "bytes"

// nextJSON cuts the next value, or the name of the next field, off the inside
// of an object or list. rest is the object or list itself at first, and then
// what the last call left. The value is nil at the end.
//
// The text must have passed json.Valid: nothing is checked here a second time,
// and nothing is copied.
func nextJSON(rest []byte) (value, left []byte) {
	if len(rest) > 0 && (rest[0] == '{' || rest[0] == '[') {
		rest = rest[1:]
	}
	for len(rest) > 0 && (isSpace(rest[0]) || rest[0] == ',' || rest[0] == ':') {
		rest = rest[1:]
	}
	if len(rest) == 0 || rest[0] == '}' || rest[0] == ']' {
		return nil, nil
	}
	n := jsonLen(rest)
	return rest[:n], rest[n:]
}

// jsonLen returns how long the value is with which b begins.
func jsonLen(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i += stringLen(b[i:]) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		default:
			if depth == 0 {
				return i + wordLen(b[i:])
			}
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(b)
}

// stringLen returns how long the string is with which b begins, with quotes.
func stringLen(b []byte) int {
	for end := 1; ; end++ {
		next := bytes.IndexByte(b[end:], '"')
		if next < 0 {
			return len(b)
		}
		end += next
		slashes := 0
		for b[end-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return end + 1
		}
	}
}

// wordLen returns how long the number, true, false or null is at the start of b.
func wordLen(b []byte) int {
	for i, c := range b {
		if c == ',' || c == '}' || c == ']' || isSpace(c) {
			return i
		}
	}
	return len(b)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
