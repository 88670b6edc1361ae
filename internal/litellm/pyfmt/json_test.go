package pyfmt

import "testing"

// The right column is what CPython's json.dumps prints.
func TestAppendJSONWritesWhatPythonPrints(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"plain", `"plain"`},
		{"a\U00000022b\U0000005cc", `"a\"b\\c"`},
		{"\U00000008\U0000000c\U0000000a\U0000000d\U00000009", `"\b\f\n\r\t"`},
		{"\U00000000\U0000001f\U0000007f", `"\u0000\u001f\u007f"`},
		{"\U000000e9\U000020ac", `"\u00e9\u20ac"`},
		{"\U0001f600\U0010ffff", `"\ud83d\ude00\udbff\udfff"`},
		{"</script>&", `"</script>&"`},
		{"\U00002028", `"\u2028"`},
	} {
		if got := string(AppendJSON([]byte("x"), c.text)); got != "x"+c.want {
			t.Errorf("AppendJSON(%q) = %s, want %s", c.text, got[1:], c.want)
		}
	}
}
