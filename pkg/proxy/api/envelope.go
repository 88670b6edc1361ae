package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// envelope is the first of LiteLLM's error bodies: what every failure of a call
// looks like. code is the HTTP status as text, never the upstream's symbol.
type envelope struct {
	Error envelopeError `json:"error"`
}

type envelopeError struct {
	Message  string  `json:"message"`
	Type     *string `json:"type"`
	Param    *string `json:"param"`
	Code     string  `json:"code"`
	Provider any     `json:"provider_specific_fields,omitempty"`
	CallID   string  `json:"litellm_call_id,omitempty"`
}

type providerFields struct {
	Code  string          `json:"code,omitempty"`
	Inner json.RawMessage `json:"innererror,omitempty"`
}

// maxMessage bounds what an error repeats of a client's words or an upstream's:
// the search for secrets in it takes time in proportion.
const maxMessage = 32 << 10

// errorBody renders err as the envelope's JSON.
func errorBody(err *call.Error, status int) []byte { return callErrorBody(err, status, "") }

// callErrorBody is the same with the id of the call, unless that is empty.
func callErrorBody(err *call.Error, status int, id string) []byte {
	message := err.Message
	if len(message) > maxMessage {
		message = fmt.Sprintf("%s... (%d bytes more)", strings.ToValidUTF8(message[:maxMessage], ""), len(message)-maxMessage)
	}
	e := envelope{Error: envelopeError{
		Message: redact.Text(message),
		Type:    nullable(err.Type),
		Param:   nullable(err.Param),
		Code:    strconv.Itoa(status),
		CallID:  id,
	}}
	switch {
	case err.Fields != nil:
		e.Error.Provider = json.RawMessage(err.Fields)
	case err.Code != "" || err.Inner != nil:
		e.Error.Provider = &providerFields{Code: err.Code, Inner: err.Inner}
	}
	return marshal(e)
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// marshal writes JSON as Python's web frameworks do: <, > and & stand as they
// are.
func marshal(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return []byte(`{"error":{"message":"Internal server error","type":"internal_server_error"}}`)
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// writeError answers with err and returns the status sent.
func writeError(w http.ResponseWriter, err *call.Error) int { return writeCallError(w, err, "") }

func writeCallError(w http.ResponseWriter, err *call.Error, id string) int {
	status := err.StatusCode()
	h := w.Header()
	for name, values := range err.Header {
		h[name] = values
	}
	writeJSON(w, status, callErrorBody(err, status, id))
	return status
}

// writeJSON answers with a complete JSON body.
func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone: nothing is left to tell it
}

var (
	jsonType  = []string{"application/json"}
	eventType = []string{"text/event-stream; charset=utf-8"}
)

// detail answers in the framework's own form.
func detail(w http.ResponseWriter, status int, text string) int {
	writeJSON(w, status, marshal(struct {
		Detail string `json:"detail"`
	}{text}))
	return status
}
