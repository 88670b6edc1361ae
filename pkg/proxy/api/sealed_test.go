package api

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
)

// The marks below were made by LiteLLM 1.106.2's own functions.
func TestMarksOfItemsAreLiteLLMs(t *testing.T) {
	const id = "encitem_bGl0ZWxsbTptb2RlbF9pZDpBO2l0ZW1faWQ6cnNfMTt4"
	const content = "litellm_enc:bW9kZWxfaWQ6QQ==;gAAA;B"
	if got := sealItemID("A", "rs_1;x"); got != id {
		t.Errorf("got %s, want %s", got, id)
	}
	if got := sealContent("A", "gAAA;B"); got != content {
		t.Errorf("got %s, want %s", got, content)
	}
	if was, by, ok := openItemID(id); was != "rs_1;x" || by != "A" || !ok {
		t.Errorf("%q %q %v", was, by, ok)
	}
	for _, text := range []string{content, "litellm_enc:bW9kZWxfaWQ6QQ;gAAA;B"} {
		if was, by, ok := openContent(text); was != "gAAA;B" || by != "A" || !ok {
			t.Errorf("%s: %q %q %v", text, was, by, ok)
		}
	}
	for _, text := range []string{"", "encitem_", "encitem_!!", "encitem_YQ==", "litellm_enc:", "litellm_enc:;x", "litellm_enc:YQ==;x", "rs_1"} {
		if _, _, ok := openItemID(text); ok {
			t.Errorf("%q is no marked id", text)
		}
		if _, _, ok := openContent(text); ok {
			t.Errorf("%q is no marked content", text)
		}
	}
}

func TestItemsWithEncryptedContentAreMarkedAndNothingElse(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"an answer", `{ "id":"r" , "output":[{"id":"rs_1","type":"reasoning","encrypted_content":"E"},{"id":"m","x":1.0}]}`,
			`{ "id":"r" , "output":[{"id":"` + sealItemID("A", "rs_1") + `","type":"reasoning","encrypted_content":"` + sealContent("A", "E") + `"},{"id":"m","x":1.0}]}`},
		{"the last event", `{"type":"response.completed","response":{"id":"r","output":[{"encrypted_content":"E"}]}}`,
			`{"type":"response.completed","response":{"id":"r","output":[{"encrypted_content":"` + sealContent("A", "E") + `"}]}}`},
		{"an item of a stream keeps its id", `{"type":"response.output_item.done","item":{"id":"rs_1","encrypted_content":"E"}}`,
			`{"type":"response.output_item.done","item":{"id":"rs_1","encrypted_content":"` + sealContent("A", "E") + `"}}`},
		{"nothing in it", `{"output":[{"id":"rs_1","encrypted_content":null},{"encrypted_content":""},7]}`, `{"output":[{"id":"rs_1","encrypted_content":null},{"encrypted_content":""},7]}`},
		{"a text that says so", `{"output":"\"encrypted_content\"","item":"\"encrypted_content\"","encrypted_content":"E"}`, `{"output":"\"encrypted_content\"","item":"\"encrypted_content\"","encrypted_content":"E"}`},
		{"no object", `["encrypted_content"]`, `["encrypted_content"]`},
		{"broken", `{"encrypted_content":"E","output":[{`, `{"encrypted_content":"E","output":[{`},
	} {
		if got := string(sealItems([]byte(tt.in), "A")); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

func TestMarksAreTakenOffWhereTheyStandAlone(t *testing.T) {
	in := `[{"role":"user","content":"encitem_bGl0ZWxsbTptb2RlbF9pZDpBO2l0ZW1faWQ6eA=="},` +
		`{"type":"reasoning","id":"` + sealItemID("A", "rs_1") + `","encrypted_content":"` + sealContent("A", "E") + `","summary":[]},` +
		`{"type":"reasoning","id":"rs_2","encrypted_content":"` + sealContent("B", "F") + `"}]`
	want := `[{"role":"user","content":"encitem_bGl0ZWxsbTptb2RlbF9pZDpBO2l0ZW1faWQ6eA=="},{"type":"reasoning","id":"rs_1","encrypted_content":"E","summary":[]},{"type":"reasoning","id":"rs_2","encrypted_content":"F"}]`
	plain, by, ok := openItems([]byte(in))
	if string(plain) != want || !slices.Equal(by, []string{"", "A", "B"}) || !ok {
		t.Errorf("%s\nby %q %v", plain, by, ok)
	}
	for _, in := range []string{`"encitem_"`, `["encitem_",{"id":"encitem_!"}]`, `{"id":"encitem_YQ=="}`, ``, `null`} {
		if _, _, ok := openItems([]byte(in)); ok {
			t.Errorf("%s holds no marks", in)
		}
	}
}

func TestWhatCannotBeReadIsLeftOutAndItsSummaryStays(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`{"type":"reasoning","id":"rs","encrypted_content":"E","summary":[{"type":"summary_text","text":"I thought"}]}`, `{"summary":[{"type":"summary_text","text":"I thought"}],"type":"reasoning"}`},
		{`{"type":"reasoning","id":"rs","encrypted_content":"E","content":" x"}`, `{"content":" x","type":"reasoning"}`},
		{`{"type":"reasoning","id":"rs","encrypted_content":"E","summary":[{"text":""},7],"content":" "}`, ""},
		{`{"type":"reasoning","id":"rs","summary":[]}`, `{"type":"reasoning","id":"rs","summary":[]}`},
		{`{"type":"message","encrypted_content":"E"}`, `{"type":"message","encrypted_content":"E"}`},
	} {
		if got := string(unreadable([]byte(tt.in))); got != tt.want {
			t.Errorf("%s became %s, want %s", tt.in, got, tt.want)
		}
	}
}

// FuzzMarks: what is marked and sent back comes out as it was, and an object
// whose members are left alone stays byte for byte.
func FuzzMarks(f *testing.F) {
	f.Add([]byte(`{"output":[{"id":"rs_1","encrypted_content":"E"}]}`))
	f.Add([]byte(`{"item": {"id":"a","encrypted_content":"\u00e9"} }`))
	f.Add([]byte(`[{"id":"encitem_YQ=="}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := editMembers(b, func(_ string, v []byte) []byte { return v }); !bytes.Equal(got, b) {
			t.Fatalf("%q became %q", b, got)
		}
		sealed := sealItems(b, "A")
		if json.Valid(b) && !json.Valid(sealed) {
			t.Fatalf("%q became %q", b, sealed)
		}
		if plain, _, ok := openItems(b); ok && json.Valid(b) && !json.Valid(plain) {
			t.Fatalf("%q became %q", b, plain)
		}
	})
}
