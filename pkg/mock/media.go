package mock

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// onePixel is a PNG of one transparent pixel.
const onePixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="

// mediaRoutes are the kinds of call whose answers are whole and small: they show
// that a gateway passes them on, late and broken ones too.
var mediaRoutes = map[string]func(w http.ResponseWriter, in mediaCall){
	"/images/generations":   answerImages,
	"/images/edits":         answerImages,
	"/images/variations":    answerImages,
	"/audio/speech":         answerSpeech,
	"/audio/transcriptions": answerTranscript,
	"/audio/translations":   answerTranscript,
	"/moderations":          answerModeration,
	"/rerank":               answerRerank,
}

// mediaCall is what is read of a request.
type mediaCall struct {
	Model          string            `json:"model"`
	Prompt         string            `json:"prompt"`
	Input          json.RawMessage   `json:"input"`
	Documents      []json.RawMessage `json:"documents"`
	N              int               `json:"n"`
	TopN           int               `json:"top_n"`
	ResponseFormat string            `json:"response_format"`
	Files          map[string]int    `json:"-"` // name -> length
}

// media answers one of mediaRoutes; false when the path is none.
func (m *Mock) media(w http.ResponseWriter, r *http.Request) bool {
	for tail, answer := range mediaRoutes {
		if !strings.HasSuffix(r.URL.Path, tail) {
			continue
		}
		m.stats.media.Add(1)
		in, err := readMedia(w, r)
		if err != nil {
			m.stats.invalid.Add(1)
			writeError(w, http.StatusBadRequest, "We could not parse the body of your request: "+err.Error())
			return true
		}
		if in.Model == "" {
			writeError(w, http.StatusBadRequest, "you must provide a model parameter")
			return true
		}
		m.play(w, r, in, answer)
		return true
	}
	return false
}

// play answers with the delay and the fault that are due.
func (m *Mock) play(w http.ResponseWriter, r *http.Request, in mediaCall, answer func(http.ResponseWriter, mediaCall)) {
	model, err := json.Marshal(in.Model)
	if err != nil {
		panic(err) // strings always encode
	}
	c := &exchange{m: m, w: w, r: r, n: m.seq.Add(1), peek: peeked{model: model}, latency: m.opt.Latency}
	c.fault = c.pickFault()
	if c.fault == faultNone {
		if c.wait(&c.latency) {
			answer(w, in)
		}
		return
	}
	m.stats.faults[c.fault].Add(1)
	good := recorded{header: http.Header{}, status: http.StatusOK}
	answer(&good, in)
	if good.status != http.StatusOK {
		writeJSON(w, good.status, good.body.Bytes())
		return
	}
	c.kind, c.ready = good.header["Content-Type"], good.body.Bytes()
	if !c.faultBeforeAnswer() && c.wait(&c.latency) {
		c.whole(c.ready)
	}
}

// recorded is an answer that a fault is to strike.
type recorded struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorded) Header() http.Header         { return r.header }
func (r *recorded) WriteHeader(status int)      { r.status = status }
func (r *recorded) Write(b []byte) (int, error) { return r.body.Write(b) }

func readMedia(w http.ResponseWriter, r *http.Request) (in mediaCall, err error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		return in, json.NewDecoder(r.Body).Decode(&in)
	}
	form, err := r.MultipartReader()
	if err != nil {
		return in, err
	}
	in.Files = map[string]int{}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return in, nil
		}
		if err != nil {
			return in, err
		}
		data, err := io.ReadAll(part)
		switch {
		case err != nil:
			return in, err
		case part.FileName() != "":
			in.Files[part.FormName()] = len(data)
		case part.FormName() == "model":
			in.Model = string(data)
		case part.FormName() == "response_format":
			in.ResponseFormat = string(data)
		}
	}
}

func reply(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		writeError(w, http.StatusInternalServerError, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, append(body, '\n'))
}

func answerImages(w http.ResponseWriter, in mediaCall) {
	data := make([]any, max(min(in.N, 10), 1))
	for i := range data {
		data[i] = map[string]any{"b64_json": onePixel}
	}
	reply(w, map[string]any{"created": 1767225600, "data": data, "usage": map[string]any{
		"input_tokens": 5, "output_tokens": 10 * len(data), "total_tokens": 5 + 10*len(data), "input_tokens_details": map[string]int{"text_tokens": 5, "image_tokens": 0},
	}})
}

// answerSpeech sends bytes that are no sound, as many as there is text.
func answerSpeech(w http.ResponseWriter, in mediaCall) {
	w.Header().Set("Content-Type", "audio/mpeg")
	sound, _ := base64.StdEncoding.DecodeString(onePixel)
	for range max(len(in.Input)/8, 1) {
		if _, err := w.Write(sound); err != nil {
			return
		}
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
	}
}

func answerTranscript(w http.ResponseWriter, in mediaCall) {
	size, ok := in.Files["file"]
	if !ok {
		writeError(w, http.StatusBadRequest, "you must provide a file")
		return
	}
	text := fmt.Sprintf("%d bytes of sound", size)
	switch in.ResponseFormat {
	case "text", "srt", "vtt":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, text+"\n")
	default:
		reply(w, map[string]any{"text": text, "usage": map[string]any{
			"type": "tokens", "input_tokens": 7, "output_tokens": 4, "total_tokens": 11, "input_token_details": map[string]int{"text_tokens": 0, "audio_tokens": 7},
		}})
	}
}

func answerModeration(w http.ResponseWriter, in mediaCall) {
	categories, scores := map[string]bool{}, map[string]float64{}
	for _, name := range [...]string{
		"harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm", "self-harm/intent", "self-harm/instructions",
		"sexual", "sexual/minors", "violence", "violence/graphic",
	} {
		categories[name], scores[name] = false, 0.01
	}
	reply(w, map[string]any{"id": "modr-mock", "model": in.Model, "results": []any{map[string]any{
		"flagged": false, "categories": categories, "category_scores": scores,
	}}})
}

func answerRerank(w http.ResponseWriter, in mediaCall) {
	n := len(in.Documents)
	if in.TopN > 0 {
		n = min(n, in.TopN)
	}
	results := make([]any, n)
	for i := range results {
		results[i] = map[string]any{"index": i, "relevance_score": 1 / float64(i+1)}
	}
	reply(w, map[string]any{"id": "rerank-mock", "results": results, "meta": map[string]any{"billed_units": map[string]int{"search_units": 1}}})
}
