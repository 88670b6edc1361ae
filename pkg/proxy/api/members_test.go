package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"testing"
)

func FuzzMembers(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1}`, `{"a":"x\"y","b\\":{"c":[1,{"d":"}"}]},"e":null}`, ` { "a" : [ 1 , 2 ] , "b" : true } `, `{"a":1`, `{"a"`, `{`, `[]`, ``, `{"a":1}x`, `{"a":,}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		got := map[string]json.RawMessage{}
		for name, value := range members(object) {
			textOf(value)
			var key string
			if json.Unmarshal(append(append([]byte{'"'}, name...), '"'), &key) == nil {
				got[key] = value
			}
		}
		var want map[string]json.RawMessage
		if json.Unmarshal(object, &want) != nil || want == nil {
			return // only what is JSON is promised
		}
		if !maps.EqualFunc(got, want, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
			t.Errorf("%s\n got %q\nwant %q", object, got, want)
		}
	})
}

func FuzzAppendNumber(f *testing.F) {
	for _, n := range []float64{0, 1, -1, 0.25, 1e-6, 9.9e-7, 2.5e-06, 1e-9, 1e-10, 1e21, 1e20, math.MaxFloat64, math.SmallestNonzeroFloat64} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, n float64) {
		want, err := json.Marshal(n)
		if err != nil {
			want = []byte("null")
		}
		if got := appendNumber(nil, n); !bytes.Equal(got, want) {
			t.Errorf("%s, package json writes %s", got, want)
		}
	})
}

func FuzzAppendText(f *testing.F) {
	for _, s := range []string{"", "gpt-4o", `a"b`, `a\b`, "ü", "a\nb", "<>&", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := appendText(nil, s), marshal(s); !bytes.Equal(got, want) {
			t.Errorf("%s, package json writes %s", got, want)
		}
	})
}
