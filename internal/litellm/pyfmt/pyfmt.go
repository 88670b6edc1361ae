// Package pyfmt writes values the way Python's repr and str do, and reads such
// text back. LiteLLM puts numbers and dictionaries into messages in that form,
// derives cache keys from it, and stores some shared values so in Redis.
//
// It knows the built-in values only (None, bool, int, float, str, bytes, list,
// tuple, dict) and must not grow into an evaluator.
package pyfmt

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Tuple is a Python tuple: like a list, but written in parentheses.
type Tuple []any

// Dict is a Python dictionary. Python keeps the order in which members were
// added, and Go maps have none, so text that must match byte for byte needs
// this type; a Go map is written with its keys sorted.
type Dict []Member

// Member is one member of a Dict.
type Member struct{ Key, Value any }

// Get finds the value of a string key.
func (d Dict) Get(key string) (any, bool) {
	for i := len(d) - 1; i >= 0; i-- {
		if d[i].Key == key {
			return d[i].Value, true
		}
	}
	return nil, false
}

// Float writes a float as Python does: the shortest digits that read back to
// the same value, ".0" after whole numbers, an exponent of two digits or more
// below 1e-4 and from 1e16 on.
func Float(f float64) string { return string(AppendFloat(nil, f)) }

// AppendFloat is Float for a buffer.
func AppendFloat(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, "nan"...)
	case math.IsInf(f, 1):
		return append(b, "inf"...)
	case math.IsInf(f, -1):
		return append(b, "-inf"...)
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	at := len(b)
	b = strconv.AppendFloat(b, f, 'f', -1, 64)
	if !slices.Contains(b[at:], '.') {
		b = append(b, ".0"...)
	}
	return b
}

// Str writes a value as Python's str: strings bare, everything else as Repr.
func Str(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return Repr(v)
}

// Repr writes a value as Python's repr. It takes what encoding/json and the
// configuration reader produce, and json.Number, Tuple and Dict; values of
// other types are written as the string of their %v form.
func Repr(v any) string { return string(AppendRepr(nil, v)) }

// maxDepth bounds nesting in both directions: deeper values come from cycles
// or from hostile text.
const maxDepth = 200

// AppendRepr is Repr for a buffer.
func AppendRepr(b []byte, v any) []byte { return appendRepr(b, v, 0) }

func appendRepr(b []byte, v any, depth int) []byte {
	if depth > maxDepth {
		return append(b, "..."...)
	}
	switch v := v.(type) {
	case nil:
		return append(b, "None"...)
	case bool:
		if v {
			return append(b, "True"...)
		}
		return append(b, "False"...)
	case string:
		return AppendString(b, v)
	case []byte:
		return appendBytes(b, v)
	case float64:
		return AppendFloat(b, v)
	case float32:
		return AppendFloat(b, float64(v))
	case json.Number:
		return appendNumber(b, v)
	case *big.Int:
		return v.Append(b, 10)
	case []any:
		return appendSeq(b, '[', ']', v, depth)
	case Tuple:
		if len(v) == 1 {
			b = append(b, '(')
			b = appendRepr(b, v[0], depth+1)
			return append(b, ",)"...)
		}
		return appendSeq(b, '(', ')', v, depth)
	case Dict:
		b = append(b, '{')
		for i, m := range v {
			b = appendMember(b, i, m.Key, m.Value, depth)
		}
		return append(b, '}')
	case map[string]any:
		names := make([]string, 0, len(v))
		for k := range v {
			names = append(names, k)
		}
		slices.Sort(names)
		b = append(b, '{')
		for i, k := range names {
			b = appendMember(b, i, k, v[k], depth)
		}
		return append(b, '}')
	case []string:
		b = append(b, '[')
		for i, s := range v {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = AppendString(b, s)
		}
		return append(b, ']')
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(b, r.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.AppendUint(b, r.Uint(), 10)
	}
	return AppendString(b, fmt.Sprint(v))
}

func appendSeq(b []byte, left, right byte, list []any, depth int) []byte {
	b = append(b, left)
	for i, x := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendRepr(b, x, depth+1)
	}
	return append(b, right)
}

func appendMember(b []byte, i int, key, value any, depth int) []byte {
	if i > 0 {
		b = append(b, ", "...)
	}
	b = appendRepr(b, key, depth+1)
	b = append(b, ": "...)
	return appendRepr(b, value, depth+1)
}

// appendNumber keeps integers whole, of any length, and writes the rest as a
// float, which is how Python reads JSON.
func appendNumber(b []byte, n json.Number) []byte {
	s := n.String()
	if strings.ContainsAny(s, ".eE") {
		f, err := n.Float64()
		if err != nil && !math.IsInf(f, 0) {
			return AppendString(b, s)
		}
		return AppendFloat(b, f)
	}
	if s == "-0" {
		s = "0"
	}
	return append(b, s...)
}

// AppendString writes the repr of a string: single quotes, unless the text has
// single quotes and no double ones; control and other unprintable characters
// escaped. Bytes that are not UTF-8 are written as the surrogates Python puts
// in their place.
func AppendString(b []byte, s string) []byte {
	quote := byte('\'')
	if strings.IndexByte(s, '\'') >= 0 && strings.IndexByte(s, '"') < 0 {
		quote = '"'
	}
	b = append(b, quote)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = fmt.Appendf(b, `\udc%02x`, s[i])
		case r == rune(quote) || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r < 0x20 || r == 0x7f:
			b = fmt.Appendf(b, `\x%02x`, r)
		case r < 0x7f || printable(r):
			b = append(b, s[i:i+size]...)
		case r <= 0xff:
			b = fmt.Appendf(b, `\x%02x`, r)
		case r <= 0xffff:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = fmt.Appendf(b, `\U%08x`, r)
		}
		i += size
	}
	return append(b, quote)
}

// printable is Python's isprintable: everything but the categories Other and
// Separator. Go's tables may be of another Unicode edition, so a character
// younger than one of the two is the one place where the outputs may differ.
func printable(r rune) bool {
	return !unicode.In(r, unicode.Z, unicode.Cc, unicode.Cf, unicode.Cs, unicode.Co) && unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S)
}

func appendBytes(b, s []byte) []byte {
	quote := byte('\'')
	if slices.Contains(s, '\'') && !slices.Contains(s, '"') {
		quote = '"'
	}
	b = append(b, 'b', quote)
	for _, c := range s {
		switch {
		case c == quote || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c < 0x20 || c >= 0x7f:
			b = fmt.Appendf(b, `\x%02x`, c)
		default:
			b = append(b, c)
		}
	}
	return append(b, quote)
}
