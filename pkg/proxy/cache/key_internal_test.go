package cache

import (
	"bytes"
	"encoding/json"
	"testing"
)

func FuzzDenseIsCompactForWhatIsValid(f *testing.F) {
	for _, s := range []string{
		`{"a": [1, 2,\t{"b" : "x y\\" \\\\"}], "c":null}`, `" "`, ` [ ] `, `[1 2]`, `"\\`, `"a" "b"`, `{"a":1}`, "\n", "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		got := appendDense([]byte("head"), value)
		if !bytes.HasPrefix(got, []byte("head")) {
			t.Fatalf("what stood before is gone: %q", got)
		}
		got = got[len("head"):]
		if !json.Valid(value) {
			if json.Valid(got) {
				t.Errorf("%q is no JSON and became %q, which is", value, got)
			}
			return
		}
		var want bytes.Buffer
		if err := json.Compact(&want, value); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%q became %q, want %q", value, got, want.Bytes())
		}
	})
}
