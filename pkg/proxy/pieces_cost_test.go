package proxy

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/redact"
)

// The price list's own prices by the piece reach the header of the answer.
func TestPiecesAreChargedByThePriceList(t *testing.T) {
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/audio/speech") {
			w.Header().Set("Content-Type", "audio/mpeg")
			_, _ = io.WriteString(w, "sound")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"created":1,"data":[{"url":"a"},{"url":"b"}]}`)
	})
	yaml := "model_list:\n"
	for _, model := range []string{"tts-1", "gpt-4o-mini-tts", "dall-e-2", "dall-e-3"} {
		yaml += "- {model_name: " + model + ", litellm_params: {model: openai/" + model + ", api_base: " + base + ", api_key: k}}\n"
	}
	c, _ := load(t, yaml)
	c.Auth.MasterKey = redact.New(testKey)
	_, url := gateway(t, c)
	for _, tt := range []struct{ path, body, cost string }{
		{"/v1/audio/speech", `{"model":"tts-1","input":"0123456789","voice":"x"}`, "0.00015000000000000001"},
		{"/v1/audio/speech", `{"model":"gpt-4o-mini-tts","input":"0123456789","voice":"x"}`, ""}, // by tokens that nobody names
		{"/v1/images/generations", `{"model":"dall-e-3","prompt":"x","quality":"hd","size":"1024x1792"}`, "0.24"},
		{"/v1/images/generations", `{"model":"dall-e-3","prompt":"x"}`, "0.08"},
	} {
		resp, body := post(t, url+tt.path, tt.body)
		if got := resp.Header.Get("X-Litellm-Response-Cost"); resp.StatusCode != 200 || got != tt.cost {
			t.Errorf("%s: %d costs %q, want %q %s", tt.body, resp.StatusCode, got, tt.cost, body)
		}
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, _ := w.CreateFormFile("image", "a.png")
	_, _ = part.Write([]byte("png"))
	for name, value := range map[string]string{"model": "dall-e-2", "size": "256x256"} {
		_ = w.WriteField(name, value)
	}
	_ = w.Close()
	if resp, body := post(t, url+"/v1/images/variations", b.String(), "Content-Type", w.FormDataContentType()); resp.Header.Get("X-Litellm-Response-Cost") != "0.032" {
		t.Errorf("%d costs %q %s", resp.StatusCode, resp.Header.Get("X-Litellm-Response-Cost"), body)
	}
}
