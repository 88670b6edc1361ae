package api

import (
	"bytes"
	"encoding/json"
	"iter"
	"math"
	"strconv"
)

// members yields the members of a JSON object that this process has written:
// their names, as they stand between the quotes, and their values. What is no
// object, or ends early, yields what there is before that.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		i := blanks(object, 0)
		if i == len(object) || object[i] != '{' {
			return
		}
		for i++; ; i++ {
			i = blanks(object, i)
			if i == len(object) || object[i] != '"' {
				return
			}
			name := object[i:textEnd(object, i)]
			i = blanks(object, i+len(name))
			if len(name) < 2 || i == len(object) || object[i] != ':' {
				return
			}
			i = blanks(object, i+1)
			value := object[i:valueEnd(object, i)]
			i = blanks(object, i+len(value))
			if len(value) == 0 || i == len(object) || !yield(name[1:len(name)-1], value) || object[i] != ',' {
				return
			}
		}
	}
}

func blanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// textEnd is behind the closing quote of the text that begins at i.
func textEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// valueEnd is behind the value that begins at i.
func valueEnd(b []byte, i int) int {
	for depth := 0; i < len(b); {
		switch b[i] {
		case '"':
			i = textEnd(b, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
			i++
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
			i++
			continue
		default:
			i++
			continue
		}
		if depth == 0 {
			return i
		}
	}
	return len(b)
}

// textOf is what a value says as text: a text without its quotes, a number or a
// switch as it stands. ok is false for what has members or elements, and null.
func textOf(value []byte) (text string, ok bool) {
	switch value[0] {
	case '{', '[', 'n':
		return "", false
	case '"':
		if bytes.IndexByte(value, '\\') >= 0 {
			err := json.Unmarshal(value, &text)
			return text, err == nil
		}
		return string(value[1 : len(value)-1]), true
	}
	return string(value), true
}

// appendText writes a JSON text.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return append(b, marshal(text)...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// appendNumber writes a number as package json does.
func appendNumber(b []byte, f float64) []byte {
	switch abs := math.Abs(f); {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(b, "null"...)
	case abs != 0 && (abs < 1e-6 || abs >= 1e21):
		b = strconv.AppendFloat(b, f, 'e', -1, 64)
		if n := len(b); b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' { // e-09 to e-9
			b[n-2] = b[n-1]
			b = b[:n-1]
		}
		return b
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}
