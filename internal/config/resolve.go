package config

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// scalarValue is an unquoted word as YAML 1.1 takes it.
type scalarValue struct {
	kind Kind
	b    bool
	i    int64
	f    float64
	trap trap
	odd  string // why PyYAML fails on it, empty if it does not
}

// trap names a reading that surprises people.
type trap int

const (
	noTrap trap = iota
	trapDate
	trapBase60
	trapOctal
	trapMerge // "<<" or "=", which have a meaning of their own
)

// resolvePlain says what an unquoted word is. Numbers need a dot before an
// exponent, 010 is octal, 12:30 counts in sixties, yes and on are booleans.
func resolvePlain(s string) scalarValue {
	text := scalarValue{kind: String}
	if s == "" {
		return scalarValue{kind: Null}
	}
	switch c := s[0]; {
	case c >= '0' && c <= '9', c == '-', c == '+', c == '.':
		if v, ok := resolveInt(s); ok {
			return v
		}
		if v, ok := resolveFloat(s); ok {
			return v
		}
		if isDate(s) {
			text.trap = trapDate
			if !validDate(s) {
				text.odd = "it looks like a date that does not exist"
			}
		}
		return text
	case c == '~':
		if s == "~" {
			return scalarValue{kind: Null}
		}
	case c == '=' && s == "=":
		return scalarValue{kind: String, trap: trapMerge, odd: `a bare "=" has a meaning of its own there`}
	case c == '<' && s == "<<":
		return scalarValue{kind: String, trap: trapMerge, odd: `a bare "<<" has a meaning of its own there`}
	case strings.IndexByte("yYnNtTfFoO", c) >= 0:
		switch s {
		case "null", "Null", "NULL":
			return scalarValue{kind: Null}
		case "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
			return scalarValue{kind: Bool, b: true}
		case "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
			return scalarValue{kind: Bool}
		}
	}
	return text
}

// maxDigits is the length from which Python refuses to read a number.
const maxDigits = 4300

func resolveInt(s string) (scalarValue, bool) {
	sign, rest := "", s
	if s[0] == '-' || s[0] == '+' {
		rest = s[1:]
		if s[0] == '-' {
			sign = "-"
		}
	}
	v := scalarValue{kind: Int}
	if len(s) > maxDigits {
		if strings.Trim(rest, "0123456789_:") == "" {
			return scalarValue{kind: String, odd: "it is a number of too many digits"}, true
		}
		return v, false
	}
	base, digits := 10, rest
	switch {
	case rest == "":
		return v, false
	case rest == "0":
	case strings.HasPrefix(rest, "0b"):
		base, digits = 2, rest[2:]
		if digits == "" || strings.Trim(digits, "01_") != "" {
			return v, false
		}
	case strings.HasPrefix(rest, "0x"):
		base, digits = 16, rest[2:]
		if digits == "" || strings.Trim(digits, "0123456789abcdefABCDEF_") != "" {
			return v, false
		}
	case rest[0] == '0':
		base, digits = 8, rest[1:]
		if strings.Trim(digits, "01234567_") != "" {
			return v, false
		}
		v.trap = trapOctal
	case rest[0] < '1' || rest[0] > '9':
		return v, false
	case strings.IndexByte(rest, ':') >= 0:
		n, ok := base60(rest)
		if !ok {
			return v, false
		}
		v.setBig(sign, n)
		v.trap = trapBase60
		return v, true
	default:
		if strings.Trim(digits, "0123456789_") != "" {
			return v, false
		}
	}
	digits = strings.ReplaceAll(digits, "_", "")
	if digits == "" {
		if base == 8 { // 0_ is zero
			return v, true
		}
		return scalarValue{kind: String, odd: "it looks like a number without digits"}, true
	}
	if i, err := strconv.ParseInt(sign+digits, base, 64); err == nil {
		v.i, v.f = i, float64(i)
		return v, true
	}
	n, ok := new(big.Int).SetString(digits, base)
	if !ok {
		return v, false
	}
	v.setBig(sign, n)
	return v, true
}

// setBig stores a number; beyond 64 bits only its floating-point value remains.
func (v *scalarValue) setBig(sign string, n *big.Int) {
	if sign == "-" {
		n.Neg(n)
	}
	if n.IsInt64() {
		v.i = n.Int64()
	}
	v.f, _ = new(big.Float).SetInt(n).Float64()
}

// taggedFloat reads what stands behind !!float. Python's float decides there: it
// knows more spellings than a plain word has, and a leading zero is no octal.
func taggedFloat(text string) (float64, bool) {
	s := strings.ToLower(strings.ReplaceAll(text, "_", ""))
	sign := 1.0
	if rest, minus := strings.CutPrefix(s, "-"); minus {
		s, sign = rest, -1
	} else {
		s = strings.TrimPrefix(s, "+")
	}
	switch s {
	case ".inf":
		return math.Inf(int(sign)), true
	case ".nan":
		return math.NaN(), true
	}
	total := 0.0
	for part := range strings.SplitSeq(s, ":") { // 1:30.5 is base 60
		part = strings.TrimSpace(part)
		f, err := strconv.ParseFloat(part, 64)
		if strings.ContainsAny(part, "xp") || err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0, false
		}
		total = total*60 + f
	}
	return sign * total, true
}

// base60 reads 1:30:00, whose parts after the first are below sixty.
func base60(s string) (*big.Int, bool) {
	parts := strings.Split(s, ":")
	total := new(big.Int)
	for i, p := range parts {
		if i > 0 && !sixty(p) {
			return nil, false
		}
		p = strings.ReplaceAll(p, "_", "")
		n, ok := new(big.Int).SetString(p, 10)
		if !ok || p == "" || p[0] < '0' || p[0] > '9' {
			return nil, false
		}
		total.Mul(total, big.NewInt(60)).Add(total, n)
		if len(parts) > 40 { // longer ones are no times; keep the cost small
			return nil, false
		}
	}
	return total, true
}

func sixty(p string) bool {
	switch len(p) {
	case 1:
		return p[0] >= '0' && p[0] <= '9'
	case 2:
		return p[0] >= '0' && p[0] <= '5' && p[1] >= '0' && p[1] <= '9'
	}
	return false
}

func resolveFloat(s string) (scalarValue, bool) {
	v := scalarValue{kind: Float}
	rest := s
	neg := false
	if s[0] == '-' || s[0] == '+' {
		neg, rest = s[0] == '-', s[1:]
	}
	switch rest {
	case ".inf", ".Inf", ".INF":
		v.f = math.Inf(1)
		if neg {
			v.f = math.Inf(-1)
		}
		return v, true
	case ".nan", ".NaN", ".NAN":
		v.f = math.NaN()
		return v, rest == s
	}
	dot := strings.IndexByte(rest, '.')
	if dot < 0 {
		return v, false
	}
	if strings.IndexByte(rest, ':') >= 0 {
		return base60Float(rest, neg)
	}
	if dot == 0 && rest != s {
		return v, false // .5 takes no sign
	}
	mantissa, exponent := rest, ""
	if e := strings.IndexAny(rest, "eE"); e >= 0 {
		mantissa, exponent = rest[:e], rest[e+1:]
		if len(exponent) < 2 || exponent[0] != '-' && exponent[0] != '+' || strings.Trim(exponent[1:], "0123456789") != "" {
			return v, false
		}
	}
	if e := strings.IndexByte(mantissa, '.'); e < 0 {
		return v, false
	} else if strings.Trim(mantissa[:e], "0123456789_") != "" || strings.Trim(mantissa[e+1:], "0123456789_") != "" ||
		e > 0 && mantissa[0] == '_' || e == 0 && (len(mantissa) < 2 || mantissa[1] == '_') {
		return v, false
	}
	plain := strings.ReplaceAll(s, "_", "")
	f, err := strconv.ParseFloat(plain, 64)
	if err != nil && !math.IsInf(f, 0) && f != 0 {
		return v, false
	}
	v.f = f
	return v, true
}

func base60Float(s string, neg bool) (scalarValue, bool) {
	v := scalarValue{kind: Float, trap: trapBase60}
	parts := strings.Split(s, ":")
	if len(parts) > 40 {
		return v, false
	}
	for i, p := range parts {
		whole, frac, ok := strings.Cut(p, ".")
		last := i == len(parts)-1
		switch {
		case ok != last, last && strings.Trim(frac, "0123456789_") != "":
			return v, false
		case i == 0 && (whole == "" || whole[0] == '_' || strings.Trim(whole, "0123456789_") != ""):
			return v, false
		case i > 0 && !sixty(whole):
			return v, false
		}
		f, err := strconv.ParseFloat(strings.ReplaceAll(p, "_", ""), 64)
		if err != nil {
			return v, false
		}
		v.f = v.f*60 + f
	}
	if neg {
		v.f = -v.f
	}
	return v, true
}

// isDate recognises the two shapes of dates: 2024-06-01, and one with a time.
func isDate(s string) bool {
	digits := func(from, least, most int) int { // how many digits there are, -1 if out of bounds
		n := 0
		for from+n < len(s) && n < most && s[from+n] >= '0' && s[from+n] <= '9' {
			n++
		}
		if n < least {
			return -1
		}
		return n
	}
	at := func(i int, c byte) bool { return i < len(s) && s[i] == c }
	if len(s) < 8 || digits(0, 4, 4) < 0 || !at(4, '-') {
		return false
	}
	if len(s) == 10 && digits(5, 2, 2) == 2 && at(7, '-') && digits(8, 2, 2) == 2 {
		return true
	}
	i := 5
	for _, sep := range []byte{'-', 0} {
		n := digits(i, 1, 2)
		if n < 0 {
			return false
		}
		i += n
		if sep != 0 {
			if !at(i, sep) {
				return false
			}
			i++
		}
	}
	switch {
	case at(i, 'T'), at(i, 't'):
		i++
	case at(i, ' '), at(i, '\t'):
		for at(i, ' ') || at(i, '\t') {
			i++
		}
	default:
		return false
	}
	n := digits(i, 1, 2)
	if n < 0 {
		return false
	}
	i += n
	for range 2 {
		if !at(i, ':') || digits(i+1, 2, 2) != 2 {
			return false
		}
		i += 3
	}
	if at(i, '.') {
		i++
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
	}
	for at(i, ' ') || at(i, '\t') {
		i++
	}
	switch {
	case i == len(s):
		return s[i-1] != ' ' && s[i-1] != '\t'
	case at(i, 'Z'):
		return i+1 == len(s)
	case at(i, '-'), at(i, '+'):
		n := digits(i+1, 1, 2)
		if n < 0 {
			return false
		}
		i += 1 + n
		if at(i, ':') && digits(i+1, 2, 2) == 2 {
			i += 3
		}
		return i == len(s)
	}
	return false
}

// validDate reports whether month, day and time can be, as Python checks them.
func validDate(s string) bool {
	fields := strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	num := func(i int) int {
		if i >= len(fields) {
			return 0
		}
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			return 0
		}
		return n
	}
	year, month, day := num(0), num(1), num(2)
	if year < 1 || month < 1 || month > 12 || day < 1 {
		return false
	}
	days := [...]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[month-1]
	if month == 2 && (year%4 == 0 && year%100 != 0 || year%400 == 0) {
		days = 29
	}
	return day <= days && num(3) < 24 && num(4) < 60 && num(5) < 60
}
