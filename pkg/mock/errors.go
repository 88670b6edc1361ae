package mock

import (
	"encoding/json"
	"net/http"
	"time"
)

// apiError is the error body of the OpenAI API.
type apiError struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// writeError sends an error the way a provider does; an empty message takes the
// usual one of the status.
func writeError(w http.ResponseWriter, status int, message string) {
	e := apiError{Message: message, Type: "invalid_request_error"}
	code := func(s string) { e.Code = &s }
	usual := "Your request was malformed."
	switch status {
	case http.StatusUnauthorized:
		usual = "Incorrect API key provided: mock."
		code("invalid_api_key")
	case http.StatusForbidden:
		usual = "You are not allowed to use this model."
		e.Type = "permission_error"
	case http.StatusNotFound:
		usual = "The model does not exist or you do not have access to it."
		code("model_not_found")
	case http.StatusRequestTimeout:
		usual, e.Type = "The request timed out.", "timeout"
	case http.StatusRequestEntityTooLarge:
		usual = "The request is too large."
		code("request_too_large")
	case http.StatusTooManyRequests:
		usual, e.Type = "Rate limit reached for this model. Please try again later.", "rate_limit_exceeded"
		code("rate_limit_exceeded")
		if w.Header().Get("Retry-After") == "" {
			w.Header().Set("Retry-After", "1")
		}
	case http.StatusServiceUnavailable:
		usual, e.Type = "The engine is currently overloaded, please try again later.", "service_unavailable"
		w.Header().Set("Retry-After", "1")
	case 529:
		usual, e.Type = "Overloaded", "overloaded_error"
	default:
		if status >= 500 {
			usual, e.Type = "The server had an error while processing your request.", "server_error"
		}
	}
	if e.Message == "" {
		e.Message = usual
	}
	b, err := json.Marshal(struct {
		Error apiError `json:"error"`
	}{e})
	if err != nil {
		panic(err) // strings always encode
	}
	writeJSON(w, status, append(b, '\n'))
}

const webPage = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n<body><center><h1>502 Bad Gateway</h1></center></body></html>\n"

// faultBeforeAnswer plays the faults that need no answer; true means done.
func (c *exchange) faultBeforeAnswer() bool {
	if status := c.fault.status(); status != 0 {
		writeError(c.w, status, "")
		return true
	}
	h := c.w.Header()
	switch c.fault {
	case faultHang:
		c.hang()
		c.hangUp(false)
	case faultClose:
		c.hangUp(false)
	case faultReset:
		c.hangUp(true)
	case faultEmpty:
		h["Content-Type"] = jsonType
		if c.peek.stream {
			h["Content-Type"] = streamType
		}
		c.flush()
	case faultHTML, faultHTML502:
		h.Set("Content-Type", "text/html; charset=utf-8")
		if c.fault == faultHTML502 {
			c.w.WriteHeader(http.StatusBadGateway)
		}
		_, _ = c.w.Write([]byte(webPage))
	case faultSlowHeaders:
		c.slowHeaders()
	case faultSlow:
		return !c.sleep(time.Now().Add(time.Second))
	default:
		return false
	}
	return true
}

// slowHeaders sends the head of an answer one byte every 50 ms, then the
// answer, then closes.
func (c *exchange) slowHeaders() {
	body := c.body(nil)
	conn, _, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
	gone := make(chan struct{})
	go func() {
		// The connection is ours now, so only reading it shows that the client left.
		defer close(gone)
		var b [1]byte
		for {
			if _, err := conn.Read(b[:]); err != nil {
				return
			}
		}
	}()
	for i := range head {
		if _, err := conn.Write([]byte{head[i]}); err != nil {
			return
		}
		select {
		case <-c.m.quit:
			return
		default:
		}
		if !c.m.opt.Sleep(gone, time.Now().Add(50*time.Millisecond)) {
			return
		}
	}
	_, _ = conn.Write(body)
}
