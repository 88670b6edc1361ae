package redact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const planted = "sk-planted-0123456789abcdef"

func TestASecretIsMaskedHoweverItIsPrinted(t *testing.T) {
	s := New(planted)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "key", s, "group", slog.GroupValue(slog.Any("k", s)))
	asJSON, err := json.Marshal(map[string]any{"s": s, "p": &s, "m": map[Secret]int{s: 1}})
	if err != nil {
		t.Fatal(err)
	}
	out := []string{
		log.String(), string(asJSON), s.String(), s.GoString(),
		fmt.Sprint(s), fmt.Sprint(&s), fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s),
		fmt.Sprintf("%v %+v %#v", struct{ S Secret }{s}, struct{ S Secret }{s}, struct{ S Secret }{s}),
		fmt.Errorf("wrap: %v", s).Error(),
	}
	for _, text := range out {
		if strings.Contains(text, "planted") || strings.Contains(text, fmt.Sprintf("%x", "planted")) {
			t.Errorf("secret shown in %q", text)
		}
	}
	if s.Reveal() != planted {
		t.Error("Reveal must return the secret")
	}
	if New("").String() != "" || !New("").IsZero() {
		t.Error("the empty secret prints as empty, so that presence stays visible")
	}
}

func TestTextMasksWhatLooksLikeASecretAndKeepsTheRest(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"OpenAI key in a sentence", "Incorrect API key provided: sk-proj-abcdefgh1234. You can find", "Incorrect API key provided: sk-***. You can find"},
		{"URL password", "dial postgresql://u:p4ss@db:5432/x failed", "dial postgresql://u:***@db:5432/x failed"},
		{"URL password with an at sign", "redis://:p@ss@host:6379/0", "redis://:***@host:6379/0"},
		{"bearer header", `Authorization: Bearer abcdef123456`, `Authorization: *** ***`},
		{"key=value", "connect host=db password=hunter2 dbname=x", "connect host=db password=*** dbname=x"},
		{"a sentence about a key", `litellm_params.api_key: environment variable GROQ_KEY is not set`, `litellm_params.api_key: environment variable GROQ_KEY is not set`},
		{"a key after such words", `api_key: environment`, `api_key: ***`},
		{"quoted value with blanks", `{"api_key": "a b c", "model": "gpt"}`, `{"api_key": ***, "model": "gpt"}`},
		{"Google key in a query", "GET /v1beta/models?key=AIzaSyA-1234567890abcdefghijk&alt=sse", "GET /v1beta/models?key=***&alt=sse"},
		{"AWS id", "AKIAIOSFODNN7EXAMPLE", "AKIA***"},
		{"plain words stay", "the tokens of the model are counted; task-force", "the tokens of the model are counted; task-force"},
		{"a sentence about a variable stays", "general_settings.master_key: environment variable KEY is not set", "general_settings.master_key: environment variable KEY is not set"},
		{"any other word after the name goes", "general_settings.master_key: environment is not set", "general_settings.master_key: *** is not set"},
		{"token count stays", "max_tokens: 100", "max_tokens: 100"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Text(tt.in)
			if got != tt.want {
				t.Errorf("Text(%q)\n got %q\nwant %q", tt.in, got, tt.want)
			}
			if again := Text(got); again != got {
				t.Errorf("not idempotent: %q", again)
			}
		})
	}
	if got := Text("value hunter22 here", New("hunter22")); got != "value *** here" {
		t.Errorf("known secret: %q", got)
	}
}

func FuzzText(f *testing.F) {
	f.Add("Bearer abcdef123456 sk-proj-abcdefgh postgres://a:b@c")
	f.Fuzz(func(t *testing.T, in string) {
		text := Text("password="+planted+" "+in, New(planted))
		if strings.Contains(text, planted) {
			t.Errorf("planted secret survived: %q", text)
		}
	})
}

func TestPlacesOfATextAreFoundInTheMaskedOne(t *testing.T) {
	const in = `a api_key: hunter22 b Bearer abcdef123456 c`
	starts := []int{strings.Index(in, "a api"), strings.Index(in, "hunter") + 2, strings.Index(in, " b "), strings.Index(in, " c")}
	ends := []int{strings.Index(in, "hunter") + 2, strings.Index(in, " b "), len(in)}
	out := TextAt(in, starts, ends)
	if want := `a api_key: *** b Bearer *** c`; out != want {
		t.Fatalf("%q, want %q", out, want)
	}
	for i, want := range []string{out, "*** b Bearer *** c", " b Bearer *** c", " c"} {
		if got := out[starts[i]:]; got != want {
			t.Errorf("start %d: %q, want %q", i, got, want)
		}
	}
	for i, want := range []string{"a api_key: ***", "a api_key: ***", out} {
		if got := out[:ends[i]]; got != want {
			t.Errorf("end %d: %q, want %q", i, got, want)
		}
	}
}

// No pattern is passed over that would have matched: the letter in front has
// every one of them tried.
func FuzzNoPatternIsPassedOver(f *testing.F) {
	for _, text := range []string{
		"PaSSwD=hunter22", "x-API-key: abc", "sk_live_abcdef csk-abcdef xoxb-12345", "?sig=abc", "AIzaSyA-1234567890abcdefghijk ASIA0123456789ABCD ya29.abcdefgh12",
		"https://hooks.slack.com/services/T0/B0", "eyJhbGciOiJI.eyJhbGciOiJI.x", "-----BEGIN RSA PRIVATE KEY-----x", "redis://:p@ss@h", "bAsIc abcdef123456",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if got, want := "\u017f "+Text(in), Text("\u017f "+in); got != want {
			t.Errorf("%q: %q, with every pattern %q", in, got, want)
		}
	})
}
