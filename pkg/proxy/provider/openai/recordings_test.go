package openai

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// recording is one exchange with a real upstream.
type recording struct {
	file    string
	op      wire.Op
	request json.RawMessage
	status  int
	body    json.RawMessage // a JSON text holds a stream
}

func recordings(t *testing.T) (list []recording) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testenv.Data(t), "recordings", "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Interactions []struct {
				Request struct {
					URL  string          `json:"url"`
					Body json.RawMessage `json:"body"`
				} `json:"request"`
				Response struct {
					Status int             `json:"status"`
					Body   json.RawMessage `json:"body"`
				} `json:"response"`
			} `json:"interactions"`
		}
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, i := range file.Interactions {
			path, _, _ := strings.Cut(i.Request.URL, "#")
			path, _, _ = strings.Cut(path, "?")
			r := recording{file: filepath.Base(filepath.Dir(name)) + "/" + filepath.Base(name), request: i.Request.Body, status: i.Response.Status, body: i.Response.Body}
			switch {
			case strings.HasSuffix(path, "/chat/completions"):
				r.op = wire.Chat
			case strings.HasSuffix(path, "/completions"):
				r.op = wire.Completions
			case strings.HasSuffix(path, "/embeddings"):
				r.op = wire.Embeddings
			default:
				continue
			}
			list = append(list, r)
		}
	}
	return list
}

var testDeployment = &call.Deployment{Provider: "openai", Model: "upstream-model", APIBase: "https://up.example/v1"}

func testLane(t *testing.T, op wire.Op) wire.Lane {
	t.Helper()
	l, err := Prepare(testDeployment, op, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestRecordedRequestsKeepEverythingButTheModel(t *testing.T) {
	n := 0
	for _, rec := range recordings(t) {
		if len(rec.request) == 0 || rec.request[0] != '{' {
			continue
		}
		n++
		var req splice.Request
		if err := req.Scan(rec.request); err != nil {
			t.Errorf("%s: %v", rec.file, err)
			continue
		}
		x := testLane(t, rec.op).Open(wire.Options{Request: &req})
		out, err := x.AppendRequest(nil)
		x.Close()
		if err != nil {
			t.Fatalf("%s: %v", rec.file, err)
		}
		var want, got map[string]any
		if err := json.Unmarshal(rec.request, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%s: %v", rec.file, err)
		}
		want["model"] = "upstream-model"
		delete(want, "metadata")
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%s: %s", rec.file, cmp.Diff(want, got))
		}
	}
	if n < 200 {
		t.Errorf("only %d requests", n)
	}
}

// reference is what encoding/json reads of a usage object.
type reference struct {
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	Total      int64 `json:"total_tokens"`
	PromptPart struct {
		Cached int64 `json:"cached_tokens"`
		Write  int64 `json:"cache_write_tokens"`
		Audio  int64 `json:"audio_tokens"`
		Image  int64 `json:"image_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionPart struct {
		Reasoning int64 `json:"reasoning_tokens"`
		Audio     int64 `json:"audio_tokens"`
		Image     int64 `json:"image_tokens"`
	} `json:"completion_tokens_details"`
}

func (r *reference) usage() call.Usage {
	if r == nil {
		return call.Usage{}
	}
	return call.Usage{
		PromptTokens: r.Prompt, CompletionTokens: r.Completion, TotalTokens: r.Total, Known: true,
		CachedTokens: r.PromptPart.Cached, CacheWriteTokens: r.PromptPart.Write, ReasoningTokens: r.CompletionPart.Reasoning,
		AudioInTokens: r.PromptPart.Audio, ImageInTokens: r.PromptPart.Image,
		AudioOutTokens: r.CompletionPart.Audio, ImageOutTokens: r.CompletionPart.Image,
	}
}

func TestRecordedAnswersKeepEverythingButTheModel(t *testing.T) {
	n, empty := 0, 0
	for _, rec := range recordings(t) {
		if rec.status != 200 || len(rec.body) == 0 || rec.body[0] != '{' {
			continue
		}
		n++
		var req splice.Request
		if err := req.Scan([]byte(`{"model":"m"}`)); err != nil {
			t.Fatal(err)
		}
		x := testLane(t, rec.op).Open(wire.Options{Request: &req, Restamp: "client-model"})
		out, err := x.AppendAnswer(nil, rec.body)
		if err != nil {
			var f *wire.Fault
			if !errors.As(err, &f) || !strings.Contains(string(rec.body), `"error"`) {
				t.Errorf("%s: %v", rec.file, err)
			}
			x.Close()
			continue
		}
		var want, got map[string]any
		var ref struct {
			ID      string     `json:"id"`
			Usage   *reference `json:"usage"`
			Choices []struct {
				Finish string `json:"finish_reason"`
			} `json:"choices"`
		}
		for data, v := range map[string]any{string(rec.body): &want, string(out): &got} {
			if err := json.Unmarshal([]byte(data), v); err != nil {
				t.Fatalf("%s: %v", rec.file, err)
			}
		}
		if err := json.Unmarshal(rec.body, &ref); err != nil {
			t.Fatalf("%s: %v", rec.file, err)
		}
		want["model"] = "client-model"
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%s: %s", rec.file, cmp.Diff(want, got))
		}
		o := x.Outcome()
		if o.Usage != ref.Usage.usage() {
			t.Errorf("%s: usage %+v, want %+v", rec.file, o.Usage, ref.Usage.usage())
		}
		if o.Usage.TotalTokens == 0 {
			empty++
		}
		finish := ""
		for _, c := range ref.Choices {
			finish = c.Finish
		}
		if string(o.ID) != ref.ID || string(o.FinishReason) != finish {
			t.Errorf("%s: id %s, finish %s; want %s, %s", rec.file, o.ID, o.FinishReason, ref.ID, finish)
		}
		x.Close()
	}
	if n < 200 || empty > n/10 {
		t.Errorf("%d answers, %d without usage", n, empty)
	}
}

// said is what a client gathers from a stream.
type said struct {
	Text, Reasoning, Finish string
	Tools                   map[int]*tool
	Usage                   *reference
	Models                  map[string]bool
	Error                   bool
	Done                    bool
	Events                  int
}

type tool struct{ ID, Name, Arguments string }

// listen reads a stream in the plainest way there is.
func listen(t *testing.T, name, stream string) said {
	t.Helper()
	s := said{Tools: map[int]*tool{}, Models: map[string]bool{}}
	for _, event := range strings.Split(strings.ReplaceAll(stream, "\r\n", "\n"), "\n\n") {
		for _, line := range strings.Split(event, "\n") {
			data, ok := strings.CutPrefix(line, "data:")
			if !ok {
				continue
			}
			if data = strings.TrimSpace(data); data == "[DONE]" {
				s.Done = true
				continue
			}
			var chunk struct {
				Model   string           `json:"model"`
				Error   *json.RawMessage `json:"error"`
				Usage   *reference       `json:"usage"`
				Choices []struct {
					Text   string  `json:"text"`
					Finish *string `json:"finish_reason"`
					Delta  struct {
						Content   json.RawMessage `json:"content"`
						Reasoning string          `json:"reasoning"`
						Think     string          `json:"reasoning_content"`
						Tools     []struct {
							Index    int    `json:"index"`
							ID       string `json:"id"`
							Function struct {
								Name      string `json:"name"`
								Arguments string `json:"arguments"`
							} `json:"function"`
						} `json:"tool_calls"`
					} `json:"delta"`
				} `json:"choices"`
			}
			if err := json.Unmarshal([]byte(data), &chunk); err != nil {
				t.Fatalf("%s: %v: %s", name, err, data)
			}
			if chunk.Error != nil {
				s.Error = true
				continue
			}
			s.Events++
			s.Models[chunk.Model] = true
			if chunk.Usage != nil {
				s.Usage = chunk.Usage
			}
			for _, c := range chunk.Choices {
				s.Text += c.Text + string(c.Delta.Content)
				s.Reasoning += c.Delta.Reasoning + c.Delta.Think
				if c.Finish != nil {
					s.Finish = *c.Finish
				}
				for _, d := range c.Delta.Tools {
					if s.Tools[d.Index] == nil {
						s.Tools[d.Index] = &tool{}
					}
					s.Tools[d.Index].ID += d.ID
					s.Tools[d.Index].Name += d.Function.Name
					s.Tools[d.Index].Arguments += d.Function.Arguments
				}
			}
		}
	}
	return s
}

// passed sends a stream through a lane in two pieces.
func passed(t *testing.T, x wire.Exchange, stream []byte, cut int) (string, error) {
	t.Helper()
	var out strings.Builder
	for _, part := range [][]byte{stream[:cut], stream[cut:]} {
		for len(part) > 0 {
			n := copy(x.Space(), part)
			part = part[n:]
			b, err := x.Advance(n)
			out.Write(b)
			if err != nil {
				return out.String(), err
			}
		}
	}
	b, err := x.Finish()
	out.Write(b)
	return out.String(), err
}

func TestRecordedStreams(t *testing.T) {
	long := os.Getenv("LLMGW_LONG") != ""
	seen := map[string]bool{}
	n, faults, tools := 0, 0, 0
	for _, rec := range recordings(t) {
		if rec.status != 200 || len(rec.body) == 0 || rec.body[0] != '"' || seen[string(rec.body)] {
			continue
		}
		seen[string(rec.body)] = true
		n++
		var stream string
		if err := json.Unmarshal(rec.body, &stream); err != nil {
			t.Fatal(err)
		}
		var req splice.Request
		if err := req.Scan([]byte(`{"model":"m","stream":true}`)); err != nil {
			t.Fatal(err)
		}
		lane := testLane(t, rec.op)
		o := wire.Options{Request: &req, Restamp: "client-model"}
		x := lane.Open(o)
		whole, failure := passed(t, x, []byte(stream), 0)
		outcome := x.Outcome()
		want, got := listen(t, rec.file, stream), listen(t, rec.file, whole)

		if failure != nil {
			var e *splice.StreamError
			if !want.Error || !errors.As(failure, &e) || e.Kind != splice.Fault {
				t.Errorf("%s: %v", rec.file, failure)
			}
			faults++
			want.Error, want.Done = false, false // the handler says it in its own words
		} else {
			want.Done = true
		}
		if got.Events > 0 {
			want.Models = map[string]bool{"client-model": true}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", rec.file, d)
		}
		if !want.Error && failure == nil && want.Usage != nil && outcome.Usage != want.Usage.usage() {
			t.Errorf("%s: usage %+v, want %+v", rec.file, outcome.Usage, want.Usage.usage())
		}
		if string(outcome.FinishReason) != want.Finish {
			t.Errorf("%s: finish %s, want %s", rec.file, outcome.FinishReason, want.Finish)
		}
		if outcome.TextBytes == 0 && strings.Trim(want.Text, `"nul`)+want.Reasoning != "" {
			t.Errorf("%s: no text measured", rec.file)
		}
		tools += len(got.Tools)
		x.Close()

		step := max(1, len(stream)/50)
		if long {
			step = 1
		}
		for cut := 0; cut < len(stream); cut += step {
			x := lane.Open(o)
			again, err := passed(t, x, []byte(stream), cut)
			same := x.Outcome().Usage == outcome.Usage
			x.Close()
			if again != whole || (err == nil) != (failure == nil) || !same {
				t.Fatalf("%s: cut at %d changes the result", rec.file, cut)
			}
		}

		// A connection lost at any place is an error or a complete answer, and
		// every event that came out is whole.
		for cut := 0; cut < len(stream); cut += step {
			x := lane.Open(o)
			out, err := passed(t, x, []byte(stream[:cut]), 0)
			x.Close()
			if s := listen(t, rec.file, out); err == nil && (!s.Done || s.Finish == "") {
				t.Fatalf("%s: lost at %d without an error", rec.file, cut)
			}
		}
	}
	if n < 20 || faults < 2 || tools < 10 {
		t.Errorf("%d streams, %d with errors, %d tool calls", n, faults, tools)
	}
}
