package splice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

func scan(t testing.TB, body string) *Request {
	t.Helper()
	r := new(Request)
	if err := r.Scan([]byte(body)); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return r
}

func TestScanFindsMembersInAnyOrderAndSpelling(t *testing.T) {
	r := scan(t, ` { "messages":[{"role":"user","content":"{\"model\":\"no\"}"}] , "mo\u0064el" :
		"f\u0061st\n", "stream":true,"x":{"model":"inner","stream":false}, "user":"ü",
		"stream_options":{"x":[1,{"include_usage":false}],"include_usag\u0065" : true},"max_tokens":12,
		"timeout":"1.5","max_completion_tokens":7,"User":"other case","metadata":{"tags":["a"]}}`)
	if m, ok := r.Text(Model); !ok || string(m) != "fast\n" {
		t.Errorf("model %q", m)
	}
	if !r.Streams() || !r.WantsUsage() {
		t.Errorf("stream %v, usage %v", r.Streams(), r.WantsUsage())
	}
	if u, _ := r.Text(User); string(u) != "ü" {
		t.Errorf("user %q", u)
	}
	if r.MaxOutput() != 7 {
		t.Errorf("max output %d", r.MaxOutput())
	}
	if v, ok := r.Number(Timeout); !ok || v != 1.5 {
		t.Errorf("timeout %v", v)
	}
	if got := string(r.Raw(Metadata)); got != `{"tags":["a"]}` {
		t.Errorf("metadata %s", got)
	}
	if want := len(`[{"role":"user","content":"{\"model\":\"no\"}"}]`); r.PromptBytes() != want {
		t.Errorf("prompt of %d bytes, want %d", r.PromptBytes(), want)
	}
	if r.Has(Tools) || r.Raw(Tools) != nil {
		t.Error("finds what is not there")
	}
}

func TestScanRefuses(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	var many strings.Builder
	for i := range MaxMembers + 1 {
		fmt.Fprintf(&many, `,"k%d":0`, i)
	}
	for _, tt := range []struct{ name, body, param, want string }{
		{"nothing", ``, "", "empty"},
		{"white space", " \n", "", "empty"},
		{"a list", `[]`, "", "must be a JSON object"},
		{"a text", `"x"`, "", "must be a JSON object"},
		{"a number and more", `1 2`, "", "unexpected text at byte 2"},
		{"a page", `<html>`, "", "not valid JSON at byte 0"},
		{"two models", `{"model":"fast","messages":[],"model":"gpt-5-pro"}`, "model", `duplicate key "model"`},
		{"two models, one escaped", `{"model":"fast","m\u006fdel":"gpt-5-pro"}`, "model", `duplicate key "model"`},
		{"two equal models", `{"model":"a","model":"a"}`, "model", `duplicate key "model"`},
		{"two models to a decoder that ignores case", `{"model":"fast","Model":"gpt-5-pro"}`, "model", "in upper and lower case only"},
		{"two models to such a decoder, one escaped", `{"m\u004fdel":"gpt-5-pro","model":"fast"}`, "model", "in upper and lower case only"},
		{"two users", `{"user":"a","user":"b"}`, "user", `duplicate key "user"`},
		{"two of a stripped member", `{"mock_response":"a","mock_response":"b"}`, "mock_response", `duplicate key "mock_response"`},
		{"two of include_usage", `{"stream_options":{"include_usage":true,"include_usage":false}}`, "stream_options", `duplicate key "include_usage"`},
		{"a duplicate behind all else", `{"model":"a"` + strings.Repeat(`,"x":1`, 100) + `,"model":"b"}`, "model", "duplicate"},
		{"a second object", `{"model":"a"}{"model":"b"}`, "", "unexpected text behind the JSON object at byte 13"},
		{"garbage behind", `{"model":"a"} x`, "", "unexpected text behind the JSON object at byte 14"},
		{"a closing brace too many", `{"model":"a"}}`, "", "unexpected text"},
		{"half an object", `{"model":"a"`, "", "ends too early"},
		{"half a string", `{"model":"a`, "", "ends too early"},
		{"half an escape", `{"model":"a\`, "", "ends too early"},
		{"a comma before the end", `{"model":"a",}`, "", "not valid JSON at byte 13"},
		{"a comma first", `{,"model":"a"}`, "", "not valid JSON at byte 1"},
		{"no colon", `{"model" "a"}`, "", "not valid JSON at byte 9"},
		{"a bare name", `{model:"a"}`, "", "not valid JSON at byte 1"},
		{"a bad escape", `{"model":"\x61"}`, "", "not valid JSON at byte 11"},
		{"a bad unicode escape", `{"model":"\u00g1"}`, "", "not valid JSON"},
		{"a mismatched bracket", `{"a":[1}`, "", "not valid JSON at byte 7"},
		{"a number with a leading zero", `{"a":01}`, "", "not valid JSON"},
		{"NaN", `{"a":NaN}`, "", "not valid JSON"},
		{"a misspelled literal", `{"a":nul}`, "", "not valid JSON"},
		{"too deep", `{"a":` + deep(MaxDepth) + `}`, "", "nested deeper than 10000"},
		{"too many members", `{"model":"a"` + many.String() + `}`, "", "more than 4096"},
		{"a model that is no text", `{"model":7}`, "model", "must be a string"},
		{"a stream that is no boolean", `{"stream":"true"}`, "stream", "expected true or false"},
		{"stream options that are no object", `{"stream_options":[]}`, "stream_options", "expected an object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := call.AsError(new(Request).Scan([]byte(tt.body)))
			if err == nil {
				t.Fatal("accepted")
			}
			if strings.HasPrefix(err.Message, "Invalid JSON payload: ") {
				tt.param = "request_body" // as LiteLLM names the culprit
			}
			if err.StatusCode() != 400 || err.Type != "invalid_request_error" || err.Param != tt.param {
				t.Errorf("status %d, type %q, param %q", err.StatusCode(), err.Type, err.Param)
			}
			if !strings.Contains(err.Message, tt.want) {
				t.Errorf("says %q, want %q", err.Message, tt.want)
			}
		})
	}
}

func TestScanAccepts(t *testing.T) {
	for name, body := range map[string]string{
		"an empty object":              `{}`,
		"the deepest nesting":          `{"a":` + strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1) + `}`,
		"duplicates that nobody reads": `{"temperature":1,"temperature":2}`,
		"duplicates within values":     `{"messages":[{"role":"a","role":"b"}]}`,
		"invalid UTF-8":                "{\"a\":\"\xff\xfe\"}",
		"control characters":           "{\"a\":\"\x01\n\"}",
		"null for everything":          `{"model":"a","stream":null,"stream_options":null,"user":null}`,
		"a name with a surrogate":      `{"\ud83d\ude00":1,"\ud800":2}`,
	} {
		if err := new(Request).Scan([]byte(body)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAppend(t *testing.T) {
	to := func(model string) Rewrite { return Rewrite{Model: model} }
	usage := func(w Rewrite) Rewrite { w.Usage = true; return w }
	param := func(name, value string) Param { return Param{Name: name, Value: []byte(value)} }
	for _, tt := range []struct {
		name, in string
		w        Rewrite
		want     string
	}{
		{"odd spacing and unknown members stay",
			`{"messages":[{"role":"user","content":"hi"}],"temperature":1.0,"x_unknown":{"a":[1,2]}, "model" : "fast"}`,
			to("gpt-4o-mini"),
			`{"messages":[{"role":"user","content":"hi"}],"temperature":1.0,"x_unknown":{"a":[1,2]}, "model" : "gpt-4o-mini"}`},
		{"usage is asked for at the end",
			`{"model":"fast","stream":true,"messages":[{"role":"user","content":"hi"}]}`,
			usage(to("gpt-4o-mini")),
			`{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"hi"}],"stream_options":{"include_usage":true}}`},
		{"usage is not asked for without a stream", `{"model":"a","stream":false}`, usage(to("b")), `{"model":"b","stream":false}`},
		{"usage goes into existing options", `{"stream":true,"stream_options":{"x":1 },"model":"a"}`, usage(to("b")),
			`{"stream":true,"stream_options":{"x":1 ,"include_usage":true},"model":"b"}`},
		{"usage goes into empty options", `{"stream":true,"stream_options":{ },"model":"a"}`, usage(to("b")),
			`{"stream":true,"stream_options":{ "include_usage":true},"model":"b"}`},
		{"usage replaces a no", `{"stream_options":{"include_usage":false,"x":1},"stream":true,"model":"a"}`, usage(to("b")),
			`{"stream_options":{"include_usage":true,"x":1},"stream":true,"model":"b"}`},
		{"usage replaces null", `{"stream_options":null,"stream":true,"model":"a"}`, usage(to("b")),
			`{"stream_options":{"include_usage":true},"stream":true,"model":"b"}`},
		{"usage that the client wants stays", `{"stream_options": {"include_usage": true},"stream":true}`, usage(to("")),
			`{"stream_options": {"include_usage": true},"stream":true}`},
		{"an upstream without stream options", `{"stream":true,"stream_options":{"include_usage":true},"model":"a"}`,
			Rewrite{Model: "b", Usage: true, NoStreamOptions: true}, `{"stream":true,"model":"b"}`},
		{"the gateway's members do not leave",
			`{"cache":{"no-cache":true}, "model":"a", "tags":["x"] ,"num_retries":3, "n":1 , "timeout":5, "fallbacks":[] }`,
			to("b"), `{"model":"b", "n":1 }`},
		{"nothing but the gateway's members", ` { "timeout":5 , "cache":{} } `, to(""), ` {  } `},
		{"nothing but the gateway's members, and one added", `{"timeout":5}`, to("b"), `{"model":"b"}`},
		{"an escaped name is stripped too", `{"a":1,"time\u006fut":5}`, to(""), `{"a":1}`},
		{"a model for those that name none", `{ "a":1 }`, to("b"), `{ "a":1 ,"model":"b"}`},
		{"a model for an empty object", `{}`, to("b"), `{"model":"b"}`},
		{"a model that needs escapes", `{"model":"a"}`, to("b\"\\\n\x01ü"), `{"model":"b\"\\\n\u0001ü"}`},
		{"no model to put in", `{"model":"a"}`, to(""), `{"model":"a"}`},
		{"parameters are added where absent", `{"model":"a","temperature":0}`,
			Rewrite{Model: "b", Params: []Param{param("temperature", "1"), param("top_k", "5"), param("model", `"x"`), param("stream", "true")}},
			`{"model":"b","temperature":0,"top_k":5}`},
		{"an escaped member is present", `{"t\u006fp_k":1}`, Rewrite{Params: []Param{param("top_k", "5")}}, `{"t\u006fp_k":1}`},
		{"either name of the limit counts", `{"max_completion_tokens":1}`, Rewrite{Params: []Param{param("max_tokens", "5")}}, `{"max_completion_tokens":1}`},
		{"a parameter that overrides", `{"temperature":0,"a":1}`, Rewrite{Params: []Param{{"temperature", []byte("1"), true}, {"top_k", []byte("5"), true}}},
			`{"temperature":1,"a":1,"top_k":5}`},
		{"parameters behind stripped members", `{"model":"a","timeout":1}`, Rewrite{Model: "b", Params: []Param{param("x", "{}")}}, `{"model":"b","x":{}}`},
		{"dropped members", `{"user":"u","model":"a","seed":1,"seed":2}`, Rewrite{Model: "b", Drop: []string{"seed", "user", "model", "stream"}}, `{"model":"b"}`},
		{"the limit by its newer name", `{"max_tokens":5,"a":1}`, Rewrite{RenameMaxTokens: true}, `{"max_completion_tokens":5,"a":1}`},
		{"the limit by both names", `{"max_tokens":5,"max_completion_tokens":6}`, Rewrite{RenameMaxTokens: true}, `{"max_completion_tokens":6}`},
		{"metadata does not leave", `{"metadata":{"a":"b"},"store":true,"model":"a"}`, to("b"), `{"store":true,"model":"b"}`},
		{"the limit by its older name", `{"max_completion_tokens":5,"a":1}`, Rewrite{OldMaxTokens: true}, `{"max_tokens":5,"a":1}`},
		{"the older name stays", `{"max_tokens":5}`, Rewrite{OldMaxTokens: true}, `{"max_tokens":5}`},
		{"developers are the system", `{"messages":[ {"role" : "developer","content":"\"developer\""}, {"content":{"role":"developer"},"r\u006fle":"developer"},{"role":"user","name":"developer"},"developer",[{"role":"developer"}]] , "a":"developer"}`, Rewrite{SystemRole: true}, `{"messages":[ {"role" : "system","content":"\"developer\""}, {"content":{"role":"developer"},"r\u006fle":"system"},{"role":"user","name":"developer"},"developer",[{"role":"developer"}]] , "a":"developer"}`},
		{"developers stay developers", `{"messages":[{"role":"developer"}]}`, Rewrite{}, `{"messages":[{"role":"developer"}]}`},
		{"messages that are none", `{"messages":{"role":"developer"}}`, Rewrite{SystemRole: true}, `{"messages":{"role":"developer"}}`},
		{"the newer of both by the older name", `{"max_tokens":5,"max_completion_tokens":6}`, Rewrite{OldMaxTokens: true}, `{"max_tokens":6}`},
		{"a default by its older name", `{"a":1}`, Rewrite{OldMaxTokens: true, Params: []Param{{Name: "max_completion_tokens", Value: []byte("9")}}}, `{"a":1,"max_tokens":9}`},
		{"metadata for another gateway", `{"metadata":{"tags":["x"]}}`, Rewrite{Metadata: MetadataKeep}, `{"metadata":{"tags":["x"]}}`},
		{"metadata of stored completions",
			`{"store":true,"metadata":{"a": "b", "tags":["x"],"trac\u0065_id":"t","user_api_key_x":"k", "n":1 ,"c":"d"},"model":"a"}`,
			Rewrite{Model: "b", Metadata: MetadataStored}, `{"store":true,"metadata":{"a": "b","c":"d"},"model":"b"}`},
		{"metadata of stored completions with nothing of use", `{"store":true,"metadata":{"tags":["x"]}}`, Rewrite{Metadata: MetadataStored}, `{"store":true}`},
		{"metadata without store", `{"metadata":{"a":"b"},"store":false}`, Rewrite{Metadata: MetadataStored}, `{"store":false}`},
		{"metadata as text", `{"metadata":"{}","store":true}`, Rewrite{Metadata: MetadataStored}, `{"store":true}`},
		{"bytes that are no text stay", "{\"model\":\"a\",\"x\":\"\xff\x01\"}", to("b"), "{\"model\":\"b\",\"x\":\"\xff\x01\"}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := scan(t, tt.in)
			got := string(r.Append([]byte("kept "), &tt.w))
			if got != "kept "+tt.want {
				t.Errorf("\ngot  %s\nwant %s", got, "kept "+tt.want)
			}
			if over := len(got) - len("kept ") - r.Size(&tt.w); over > 0 {
				t.Errorf("Size is %d too small", over)
			}
		})
	}
}

// TestDuplicateModel pins D20 of docs/compatibility.md where bodies are read.
func TestDuplicateModel(t *testing.T) {
	for m := range members {
		if names[m] == "" {
			continue
		}
		value := `"x"`
		switch m {
		case Stream:
			value = "true"
		case StreamOptions:
			value = "{}"
		}
		body := fmt.Sprintf(`{%q:%s,"a":1,%q:%s}`, names[m], value, names[m], value)
		err := call.AsError(new(Request).Scan([]byte(body)))
		if err == nil || err.Param != names[m] || !strings.Contains(err.Message, "duplicate key") {
			t.Errorf("%s: %v", names[m], err)
		}
	}
}

func TestEveryNameIsFound(t *testing.T) {
	for m, name := range names {
		if name == "" {
			continue
		}
		if got := lookup([]byte(name)); got != Member(m) {
			t.Errorf("%s is found as %d", name, got)
		}
		if got := lookup([]byte(strings.ToUpper(name[:1]) + name[1:])); got != other {
			t.Errorf("%s is found in another case", name)
		}
	}
	for _, name := range []string{"", "x", "modell", "messagesx", strings.Repeat("m", 300)} {
		if lookup([]byte(name)) != other {
			t.Errorf("%q is found", name)
		}
	}
}

func TestStrippedMembersAreTheGatewaysOwn(t *testing.T) {
	for _, m := range []Member{Model, Stream, StreamOptions, User, Metadata, Messages, MaxTokens, N, other} {
		if m.Strips() {
			t.Errorf("%v is stripped", m)
		}
	}
	for _, m := range []Member{LiteLLMMetadata, Timeout, APIKey, APIVersion, Cache, NoLog} {
		if !m.Strips() {
			t.Errorf("%v is not stripped", m)
		}
	}
}

func TestReuseForgetsTheLastRequest(t *testing.T) {
	var r Request
	if err := r.Scan([]byte(`{"model":"a","stream":true,"stream_options":{"include_usage":true},"user":"u"}`)); err != nil {
		t.Fatal(err)
	}
	if err := r.Scan([]byte(`{"model":"b","model":"c"}`)); err == nil {
		t.Fatal("a duplicate is accepted")
	}
	if err := r.Scan([]byte(`{"messages":[]}`)); err != nil {
		t.Fatal(err)
	}
	if r.Streams() || r.WantsUsage() || r.Has(User) || r.Has(Model) {
		t.Error("the last request shows through")
	}
}

// lenient makes JSON valid for a stricter reader: control characters within
// strings pass here and not there.
func lenient(body []byte) []byte {
	out := bytes.Clone(body)
	in := false
	for i := 0; i < len(out); i++ {
		switch c := out[i]; {
		case in && c == '\\':
			i++
		case c == '"':
			in = !in
		case in && c < ' ':
			out[i] = '.'
		}
	}
	return out
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{
		`{"model":"a","stream":true,"messages":[{"role":"user","content":"x\"y\\"}],"metadata":{"a":"b"},"store":true}`,
		`{"stream_options":{"include_usage":null},"timeout":1,"a":-0.5e+7,"b":[[],{}],"\u006dodel":"x"}`,
		"{\"a\":\"\x01\xff\",\"long\":\"" + strings.Repeat("x", 60) + `\n` + strings.Repeat("y", 40) + `"}`,
		`[1,2`, `{"a":1,"a":2}`, `{"a":tru}`, ` { } `,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var r Request
		err := r.Scan(body)
		var want map[string]json.RawMessage
		object := json.Unmarshal(lenient(body), &want) == nil && want != nil
		if err == nil && !object {
			t.Fatalf("accepts what is not JSON: %q", body)
		}
		if err != nil {
			if msg := err.Error(); object && (strings.HasPrefix(msg, "Invalid request format") || strings.HasPrefix(msg, "Invalid JSON payload")) && !strings.Contains(msg, "more than") {
				t.Fatalf("refuses JSON: %v: %q", err, body)
			}
			return
		}
		// A rewrite that changes nothing gives the same bytes.
		if got := r.Append(nil, &Rewrite{Metadata: MetadataKeep}); len(r.entries) > 0 && !stripsAny(&r) && !bytes.Equal(got, body) {
			t.Fatalf("changes bytes:\n%q\n%q", body, got)
		}
		out := r.Append(nil, &Rewrite{Model: "m", Usage: true, Params: []Param{{Name: "p", Value: []byte("1")}}})
		checkRewrite(t, want, out, r.Streams())
	})
}

func stripsAny(r *Request) bool {
	for _, e := range r.entries {
		if e.member.Strips() {
			return true
		}
	}
	return false
}

// checkRewrite compares a rewritten body with its original as decoders see
// them: everything but the documented members is the same, byte by byte.
func checkRewrite(t interface {
	Helper()
	Fatalf(string, ...any)
}, want map[string]json.RawMessage, out []byte, stream bool) {
	t.Helper()
	var got map[string]json.RawMessage
	if err := json.Unmarshal(lenient(out), &got); err != nil {
		t.Fatalf("writes what is not JSON: %v: %q", err, out)
	}
	for name := range want {
		m := lookup([]byte(name))
		switch {
		case m.Strips() || m == Metadata:
			if _, ok := got[name]; ok {
				t.Fatalf("%q has left: %q", name, out)
			}
		case m == Model:
			if string(got[name]) != `"m"` {
				t.Fatalf("model is %s", got[name])
			}
		case m == StreamOptions && stream:
		default:
			if !bytes.Equal(want[name], got[name]) {
				t.Fatalf("%q was %q, is %q", name, want[name], got[name])
			}
		}
		delete(got, name)
	}
	if stream {
		var o struct {
			Stream  bool `json:"stream"`
			Options struct {
				Usage bool `json:"include_usage"`
			} `json:"stream_options"`
		}
		// Names that differ in case only would confuse this decoder.
		if err := json.Unmarshal(lenient(out), &o); err == nil && strings.Count(strings.ToLower(string(out)), "stream_options") == 1 &&
			strings.Count(strings.ToLower(string(out)), "include_usage") == 1 && !o.Options.Usage {
			t.Fatalf("usage is not asked for: %q", out)
		}
	}
	for name, v := range got {
		switch name {
		case "model", "p", "stream_options":
		default:
			t.Fatalf("%q has come from nowhere: %s", name, v)
		}
	}
}

// A long string must be searched once, not once for each of its escapes.
func TestScanIsLinear(t *testing.T) {
	for _, unit := range []string{`\n`, strings.Repeat("x", 100) + `\n`, strings.Repeat("x", 100) + `\"`, strings.Repeat("x", 33) + `\u0041`} {
		body := []byte(`{"a":"` + strings.Repeat(unit, 4<<20/len(unit)) + `"}`)
		if err := new(Request).Scan(body); err != nil {
			t.Errorf("%.20s: %v", unit, err)
		}
	}
}

// Any object, with any of the members that matter, keeps all that is not
// documented to change.
func TestRewriteKeepsTheRest(t *testing.T) {
	var known []string
	for _, name := range names {
		if name != "" && name != "stream" && name != "model" && name != "stream_options" {
			known = append(known, name)
		}
	}
	value := rapid.OneOf(
		rapid.SampledFrom([]string{"null", "true", "1.0", "-0", "1e400", "[]", "{}", `[1, {"a":"\u00e9"}]`, ` "x" `, `"\ud83d\ude00"`, "\"\xff\"", `{"model":"inner","model":2}`}),
		rapid.Custom(func(t *rapid.T) string {
			b, err := json.Marshal(rapid.String().Draw(t, "text"))
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}),
	)
	blank := rapid.SampledFrom([]string{"", " ", "\n\t", "  \r\n "})
	rapid.Check(t, func(t *rapid.T) {
		seen := map[string]bool{}
		var parts []string
		stream := false
		for range rapid.IntRange(0, 12).Draw(t, "members") {
			name := rapid.OneOf(rapid.SampledFrom(known), rapid.SampledFrom([]string{"temperature", "top_p", "x", "", "Stream", "ü"}),
				rapid.SampledFrom([]string{"stream", "model", "stream_options"})).Draw(t, "name")
			if seen[name] {
				continue
			}
			seen[name] = true
			v := value.Draw(t, "value")
			switch name {
			case "model":
				v = rapid.SampledFrom([]string{`"a"`, `"\u0061\"b"`}).Draw(t, "model")
			case "stream":
				stream = rapid.Bool().Draw(t, "stream")
				v = fmt.Sprint(stream)
			case "stream_options":
				v = rapid.SampledFrom([]string{"null", "{}", `{ "include_usage" : true }`, `{"a":1,"include_usage":false}`, `{"include_usage":null}`}).Draw(t, "options")
			}
			key, _ := json.Marshal(name)
			parts = append(parts, blank.Draw(t, "b")+string(key)+blank.Draw(t, "b")+":"+blank.Draw(t, "b")+v+blank.Draw(t, "b"))
		}
		body := []byte(blank.Draw(t, "b") + "{" + strings.Join(parts, ",") + blank.Draw(t, "b") + "}" + blank.Draw(t, "b"))
		var r Request
		if err := r.Scan(body); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if same := r.Append(nil, &Rewrite{Metadata: MetadataKeep}); !stripsAny(&r) && !bytes.Equal(same, body) {
			t.Fatalf("changes bytes:\n%q\n%q", body, same)
		}
		checkRewrite(t, want, r.Append(nil, &Rewrite{Model: "m", Usage: true, Params: []Param{{Name: "p", Value: []byte("1")}}}), stream)
	})
}
