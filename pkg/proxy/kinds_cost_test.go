package proxy

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// wav is sound of so many seconds, with a chunk before the data that readers
// must pass over.
func wav(seconds int) []byte {
	const rate = 16000
	data := make([]byte, rate*seconds)
	var b bytes.Buffer
	le := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) }
	b.WriteString("RIFF")
	le(uint32(36 + len(data)))
	b.WriteString("WAVELIST")
	le(uint32(3))
	b.WriteString("abc\x00fmt ")
	le(uint32(16))
	le([]uint16{1, 1})
	le([]uint32{rate / 2, rate})
	le([]uint16{2, 16})
	b.WriteString("data")
	le(uint32(len(data)))
	b.Write(data)
	return b.Bytes()
}

func sendFile(t *testing.T, url, model string, file []byte) *http.Response {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile("file", "a.wav")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write(file)
	_ = w.WriteField("model", model)
	_ = w.Close()
	resp, _ := post(t, url, b.String(), "Content-Type", w.FormDataContentType())
	return resp
}

func TestEveryKindOfCallIsChargedByWhatItUsed(t *testing.T) {
	const chatUsage = `"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_tokens_details":{"cached_tokens":40},"completion_tokens_details":{"reasoning_tokens":20}}`
	answers := map[string]struct{ kind, body string }{
		"chat":    {"application/json", `{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"content":"hi"}}],` + chatUsage + `}`},
		"timed":   {"application/json", `{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"content":"hi"}}],` + chatUsage + `}`},
		"text":    {"application/json", `{"id":"c","object":"text_completion","choices":[{"index":0,"text":"hi"}],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}`},
		"embed":   {"application/json", `{"object":"list","data":[{"index":0,"embedding":[0]}],"usage":{"prompt_tokens":8,"total_tokens":8}}`},
		"answers": {"application/json", `{"id":"r","object":"response","status":"completed","output":[],"usage":{"input_tokens":10,"output_tokens":5,"total_tokens":15,"input_tokens_details":{"cached_tokens":4},"output_tokens_details":{"reasoning_tokens":2}}}`},
		"image":   {"application/json", `{"created":1,"data":[{"url":"a"},{"url":"b"}]}`},
		"gpt-img": {"application/json", `{"created":1,"data":[{"b64_json":"a"}],"usage":{"input_tokens":50,"output_tokens":1000,"total_tokens":1050,"input_tokens_details":{"text_tokens":10,"image_tokens":40}}}`},
		"speak":   {"audio/mpeg", "sound"},
		"write":   {"application/json", `{"text":"hi","duration":12.5}`},
		"subs":    {"text/plain", "1\n00:00 --> 00:01\nhi\n"},
		"tokens":  {"application/json", `{"text":"hi","usage":{"type":"tokens","input_tokens":14,"output_tokens":45,"total_tokens":59,"input_token_details":{"audio_tokens":14}}}`},
		"rank":    {"application/json", `{"id":"r","results":[{"index":0,"relevance_score":0.5}],"meta":{"billed_units":{"search_units":2}}}`},
		"rank1":   {"application/json", `{"id":"r","results":[]}`},
	}
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for name, a := range answers {
			if strings.Contains(string(body), `"up-`+name+`"`) || strings.Contains(string(body), "\r\nup-"+name+"\r\n") {
				w.Header().Set("Content-Type", a.kind)
				_, _ = io.WriteString(w, a.body)
				return
			}
		}
		t.Errorf("%s: %.80s", r.URL.Path, body)
	})
	prices := map[string]string{
		"chat":    "input_cost_per_token: 1e-3, output_cost_per_token: 2e-3, cache_read_input_token_cost: 1e-4, output_cost_per_reasoning_token: 1e-2",
		"timed":   "input_cost_per_second: 1000",
		"text":    "input_cost_per_token: '1e-3', output_cost_per_token: 2e-3",
		"embed":   "input_cost_per_token: 1e-3",
		"answers": "input_cost_per_token: 1e-3, output_cost_per_token: 2e-3, cache_read_input_token_cost: 1e-4",
		"image":   "output_cost_per_image: 0.04", "gpt-img": "input_cost_per_token: 5e-6, input_cost_per_image_token: 1e-5, output_cost_per_token: 4e-5",
		"speak": "input_cost_per_character: 1.5e-5", "write": "input_cost_per_second: 1e-4", "subs": "input_cost_per_second: 1e-4, output_cost_per_second: 0",
		"tokens": "input_cost_per_token: 1e-3, input_cost_per_audio_token: 1e-2, output_cost_per_token: 2e-3", "rank": "input_cost_per_query: 0.002", "rank1": "input_cost_per_query: 0.002",
	}
	yaml := "model_list:\n"
	for name, price := range prices {
		provider := "openai"
		if strings.HasPrefix(name, "rank") {
			provider = "hosted_vllm"
		}
		yaml += "- {model_name: " + name + ", litellm_params: {model: " + provider + "/up-" + name + ", api_base: " + base + ", api_key: k, " + price + "}}\n"
	}
	c, findings := load(t, yaml)
	for _, f := range findings {
		t.Error(f.Message)
	}
	calls, sink := recorded()
	c.Sink, c.Auth.MasterKey = sink, redact.New(testKey)
	_, url := gateway(t, c)
	chat := func(model string) *http.Response {
		resp, _ := post(t, url+"/v1/chat/completions", `{"model":"`+model+`","messages":[]}`)
		return resp
	}
	ask := func(path, body string) *http.Response {
		resp, text := post(t, url+path, body)
		if resp.StatusCode != 200 {
			t.Errorf("%s: %d %s", path, resp.StatusCode, text)
		}
		return resp
	}
	for _, tt := range []struct {
		name string
		ask  func() *http.Response
		cost float64 // below 0: whatever the clock says
		is   func(u *call.Usage) bool
	}{
		{"a chat with cached and reasoning tokens", func() *http.Response { return chat("chat") }, 60*1e-3 + 40*1e-4 + 30*2e-3 + 20*1e-2,
			func(u *call.Usage) bool { return u.CachedTokens == 40 && u.ReasoningTokens == 20 }},
		{"a chat that is paid by the second", func() *http.Response { return chat("timed") }, -1, nil},
		{"a text completion", func() *http.Response { return ask("/v1/completions", `{"model":"text","prompt":"x"}`) }, 10*1e-3 + 5*2e-3, nil},
		{"an embedding", func() *http.Response { return ask("/v1/embeddings", `{"model":"embed","input":"x"}`) }, 8e-3, nil},
		{"a response", func() *http.Response { return ask("/v1/responses", `{"model":"answers","input":"x"}`) }, 6*1e-3 + 4*1e-4 + 5*2e-3, nil},
		{"images by the piece", func() *http.Response { return ask("/v1/images/generations", `{"model":"image","prompt":"x"}`) }, 0.08,
			func(u *call.Usage) bool { return u.Images == 2 }},
		{"an image by tokens", func() *http.Response { return ask("/v1/images/generations", `{"model":"gpt-img","prompt":"x"}`) }, 10*5e-6 + 40*1e-5 + 1000*4e-5,
			func(u *call.Usage) bool { return u.Images == 1 && u.ImageInTokens == 40 }},
		{"speech by the character", func() *http.Response {
			return ask("/v1/audio/speech", `{"model":"speak","input":"gr\u00fc\u00dfe","voice":"x"}`)
		}, 5 * 1.5e-5,
			func(u *call.Usage) bool { return u.Characters == 5 }},
		{"a transcript by the second", func() *http.Response { return sendFile(t, url+"/v1/audio/transcriptions", "write", []byte("no wav")) }, 12.5e-4,
			func(u *call.Usage) bool { return u.Seconds == 12.5 }},
		{"subtitles by the file's length", func() *http.Response { return sendFile(t, url+"/v1/audio/transcriptions", "subs", wav(3)) }, 3e-4,
			func(u *call.Usage) bool { return u.Seconds == 3 }},
		{"a transcript by tokens", func() *http.Response { return sendFile(t, url+"/v1/audio/transcriptions", "tokens", []byte("no wav")) }, 14*1e-2 + 45*2e-3,
			func(u *call.Usage) bool { return u.AudioInTokens == 14 }},
		{"a reranking by its search units", func() *http.Response { return ask("/v1/rerank", `{"model":"rank","query":"q","documents":["a"]}`) }, 0.004, nil},
		{"a reranking that says nothing is one", func() *http.Response { return ask("/v1/rerank", `{"model":"rank1","query":"q","documents":["a"]}`) }, 0.002,
			func(u *call.Usage) bool { return u.Queries == 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp := tt.ask()
			c := <-calls
			head, _ := strconv.ParseFloat(resp.Header.Get("x-litellm-response-cost"), 64)
			switch {
			case tt.cost < 0 && (math.Abs(c.Cost.Total-1000*c.UpstreamTime.Seconds()) > 1e-9 || c.Cost.Total <= 0):
				t.Errorf("cost %v of %s", c.Cost.Total, c.UpstreamTime)
			case tt.cost >= 0 && math.Abs(c.Cost.Total-tt.cost) > 1e-12:
				t.Errorf("cost %v, want %v: %+v", c.Cost.Total, tt.cost, c.Usage)
			}
			if !c.Cost.Known || math.Abs(head-c.Cost.Total) > 1e-12 {
				t.Errorf("the header says %v, the record %+v", head, c.Cost)
			}
			if tt.is != nil && !tt.is(&c.Usage) {
				t.Errorf("usage %+v", c.Usage)
			}
		})
	}
}
