package pyfmt

import (
	"encoding/json"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The right column is what CPython 3.11 prints.
func TestReprWritesWhatPythonPrints(t *testing.T) {
	big1, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	for _, c := range []struct {
		value any
		want  string
	}{
		{7.2e-05, "7.2e-05"}, {20.0, "20.0"}, {1000000.0, "1000000.0"}, {0.0001, "0.0001"},
		{0.30000000000000004, "0.30000000000000004"}, {1e16, "1e+16"}, {9999999999999998.0, "9999999999999998.0"},
		{1e22, "1e+22"}, {1.5e300, "1.5e+300"}, {5e-324, "5e-324"}, {0.0, "0.0"}, {math.Copysign(0, -1), "-0.0"},
		{-3.25, "-3.25"}, {1e-5, "1e-05"}, {123456789.123, "123456789.123"},
		{math.NaN(), "nan"}, {math.Inf(1), "inf"}, {math.Inf(-1), "-inf"},
		{nil, "None"}, {true, "True"}, {false, "False"}, {42, "42"}, {int64(-7), "-7"}, {uint8(200), "200"}, {big1, "123456789012345678901234567890"},
		{json.Number("12"), "12"}, {json.Number("1.50"), "1.5"}, {json.Number("1E3"), "1000.0"}, {json.Number("12345678901234567890"), "12345678901234567890"}, {json.Number("1e999"), "inf"}, {json.Number("-0"), "0"},
		{"plain", "'plain'"}, {"it's", `"it's"`}, {`it's "so"`, `'it\'s "so"'`}, {`say "so"`, `'say "so"'`},
		{"a\nb\tc\rd\\e", `'a\nb\tc\rd\\e'`}, {"\x00\x1b\x7f", `'\x00\x1b\x7f'`},
		{"naïve 日本 🦊", "'naïve 日本 🦊'"}, {"\u00a0\u00ad\u200b\u2028\ufeff", `'\xa0\xad\u200b\u2028\ufeff'`},
		{"\ue000\U000e0001", `'\ue000\U000e0001'`}, {"a\xffb", `'a\udcffb'`},
		{[]byte("a'b\x00\xff"), `b"a'b\x00\xff"`},
		{[]any{1, "a", nil, []any{}}, "[1, 'a', None, []]"}, {[]string{"x", "y"}, "['x', 'y']"},
		{Tuple{}, "()"}, {Tuple{1}, "(1,)"}, {Tuple{1, 2.0}, "(1, 2.0)"},
		{Dict{{"b", 1}, {"a", true}, {2, Dict{}}}, "{'b': 1, 'a': True, 2: {}}"},
		{map[string]any{"b": 1.0, "a": "x"}, "{'a': 'x', 'b': 1.0}"},
	} {
		if got := Repr(c.value); got != c.want {
			t.Errorf("Repr(%#v) = %s, want %s", c.value, got, c.want)
		}
	}
	if got := Str("it's"); got != "it's" {
		t.Errorf("Str of a string is %s", got)
	}
}

func TestReadUnderstandsWhatPythonWrites(t *testing.T) {
	for _, c := range []struct {
		text string
		want any
	}{
		{"{'timestamp': 1716000000.5, 'cooldown_time': 5, 'exception_received': \"it's\", 'ok': False, 'x': None}",
			Dict{{"timestamp", 1716000000.5}, {"cooldown_time", int64(5)}, {"exception_received", "it's"}, {"ok", false}, {"x", nil}}},
		{"[1, 2.5, -3, 1e-05, (1,), (), (2), ('a', b'\\xff')]",
			[]any{int64(1), 2.5, int64(-3), 1e-05, Tuple{int64(1)}, Tuple{}, int64(2), Tuple{"a", []byte{0xff}}}},
		{` 'a\'b\\\n\x41\u00e9\U0001f98a\101' `, "a'b\\\nAé🦊A"},
		{`'a\udcffb'`, "a\xffb"},
		{"[1, 2, ]", []any{int64(1), int64(2)}},
		{"inf", math.Inf(1)}, {"-inf", math.Inf(-1)},
	} {
		got, err := Read(c.text)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("Read(%s) = %#v, %v; want %#v", c.text, got, err, c.want)
		}
	}
	if v, err := Read("123456789012345678901234567890"); err != nil || Repr(v) != "123456789012345678901234567890" {
		t.Errorf("a long integer reads as %v, %v", v, err)
	}
}

func TestReadRefusesWhatIsNotAPlainValue(t *testing.T) {
	for _, text := range []string{
		"", " ", "[", "[1", "[1 2]", "[,]", "{", "{1}", "{1:}", "{1:2", "{'a' 1}", "(", "'", "'a", "'a\nb'", `'\q'`, `'\x4'`, `'\x+1'`, `'\u12'`, `'\U00110000'`,
		"Nonesuch", "none", "true", "null", "os.system('x')", "datetime.datetime(2026, 1, 1)", "<object at 0x7f>", "1 + 1", "1_000", "0x10", "010", "--1", "1.2.3", "1e", ".", "-", "b'é'", "1 2", "{1: 2} x", "1j",
		strings.Repeat("[", 100_000), strings.Repeat("9", 5000),
	} {
		if v, err := Read(text); err == nil {
			t.Errorf("Read(%.40s) = %#v, want an error", text, v)
		}
	}
}

func TestErrorsDoNotQuoteTheText(t *testing.T) {
	_, err := Read("{'api_key': 'sk-secret', oops}")
	if err == nil || strings.Contains(err.Error(), "sk-secret") || !strings.Contains(err.Error(), "byte 25") {
		t.Errorf("error is %v", err)
	}
}

func TestWhatReprWritesReadReads(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) any { return genValue(t, 3) })
	rapid.Check(t, func(t *rapid.T) {
		want := value.Draw(t, "value")
		text := Repr(want)
		got, err := Read(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%#v writes %s and reads %#v, %v", want, text, got, err)
		}
	})
}

func genValue(t *rapid.T, depth int) any {
	kinds := 6
	if depth > 0 {
		kinds = 9
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.Int64().Draw(t, "int")
	case 3:
		return rapid.Float64().Draw(t, "float")
	case 4:
		return string(rapid.SliceOf(rapid.Byte()).Draw(t, "string"))
	case 5:
		return rapid.SliceOfN(rapid.Byte(), 1, 8).Draw(t, "bytes")
	case 6:
		return list(t, depth)
	case 7:
		return Tuple(list(t, depth))
	default:
		d := Dict{}
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			d = append(d, Member{rapid.String().Draw(t, "key"), genValue(t, depth-1)})
		}
		return d
	}
}

func list(t *rapid.T, depth int) []any {
	l := []any{}
	for range rapid.IntRange(0, 3).Draw(t, "items") {
		l = append(l, genValue(t, depth-1))
	}
	return l
}

func FuzzReadNeverPanicsAndAgreesWithItself(f *testing.F) {
	f.Add("{'a': [1, 2.0, (None,)], \"b\": b'\\x00'}")
	f.Add(`'\udc80\U0001f98a'`)
	f.Add("-1e+16")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := Read(text)
		if err != nil {
			return
		}
		once := Repr(v)
		again, err := Read(once)
		if err != nil {
			t.Fatalf("%q reads, but its repr %q does not: %v", text, once, err)
		}
		if twice := Repr(again); twice != once {
			t.Fatalf("%q is written %q, then %q", text, once, twice)
		}
	})
}
