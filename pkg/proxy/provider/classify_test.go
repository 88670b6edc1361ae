package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

func deployment(provider string) *call.Deployment {
	key := redact.New("sk-planted-0123456789")
	return &call.Deployment{Provider: provider, APIKey: key, Secrets: []redact.Secret{key}}
}

func openaiError(message, typ, code string) string {
	return fmt.Sprintf(`{"error":{"message":%q,"type":%q,"param":null,"code":%q}}`, message, typ, code)
}

// The messages are LiteLLM's, as version 1.106.2 prints them.
func TestStatusTextsAndClasses(t *testing.T) {
	text := `{"error":{"message":"the text","type":null,"param":null,"code":null}}`
	for _, tt := range []struct {
		status   int
		provider string
		body     string
		class    call.Class
		own      int // status for the client
		typ      string
		message  string
	}{
		{400, "openai", text, call.ClassBadRequest, 400, "invalid_request_error", "litellm.BadRequestError: OpenAIException - the text"},
		{401, "openai", text, call.ClassAuthentication, 401, "authentication_error", "litellm.AuthenticationError: AuthenticationError: OpenAIException - the text"},
		{402, "openai", text, call.ClassAPIError, 402, "invalid_request_error", "litellm.APIError: APIError: OpenAIException - the text"},
		{403, "openai", text, call.ClassPermissionDenied, 403, "permission_error", "litellm.PermissionDeniedError: OpenAIException - the text"},
		{404, "openai", text, call.ClassNotFound, 404, "invalid_request_error", "litellm.NotFoundError: NotFoundError: OpenAIException - the text"},
		{408, "openai", text, call.ClassTimeout, 408, "invalid_request_error", "litellm.Timeout: Timeout Error: OpenAIException - the text"},
		{413, "openai", text, call.ClassAPIError, 413, "invalid_request_error", "litellm.APIError: APIError: OpenAIException - the text"},
		{422, "openai", text, call.ClassBadRequest, 422, "invalid_request_error", "litellm.BadRequestError: OpenAIException - the text"},
		{429, "openai", text, call.ClassRateLimit, 429, "throttling_error", "litellm.RateLimitError: RateLimitError: OpenAIException - the text"},
		{500, "openai", text, call.ClassInternalServer, 500, "internal_server_error", "litellm.InternalServerError: InternalServerError: OpenAIException - the text"},
		{501, "openai", text, call.ClassAPIError, 501, "internal_server_error", "litellm.APIError: APIError: OpenAIException - the text"},
		{502, "openai", text, call.ClassBadGateway, 502, "internal_server_error", "litellm.BadGatewayError: BadGatewayError: OpenAIException - the text"},
		{503, "openai", text, call.ClassServiceUnavailable, 503, "internal_server_error", "litellm.ServiceUnavailableError: ServiceUnavailableError: OpenAIException - the text"},
		{504, "openai", text, call.ClassTimeout, 504, "internal_server_error", "litellm.Timeout: Timeout Error: OpenAIException - the text"},
		{529, "openai", text, call.ClassAPIError, 529, "internal_server_error", "litellm.APIError: APIError: OpenAIException - the text"},
		{302, "openai", text, call.ClassAPIError, 502, "internal_server_error", "litellm.APIError: APIError: OpenAIException - the text"},

		{404, "openai", openaiError("The model `x` does not exist", "invalid_request_error", "model_not_found"), call.ClassNotFound, 404, "invalid_request_error", "litellm.NotFoundError: OpenAIException - The model `x` does not exist"},
		{404, "openai", openaiError("some text", "x", "model_not_found"), call.ClassNotFound, 404, "invalid_request_error", "litellm.NotFoundError: NotFoundError: OpenAIException - some text"},
		{400, "openai", openaiError("bad thing", "invalid_request_error", "model_not_found"), call.ClassNotFound, 400, "invalid_request_error", "litellm.NotFoundError: OpenAIException - bad thing"},
		{400, "openai", openaiError("This model's maximum context length is 10 tokens", "invalid_request_error", "context_length_exceeded"), call.ClassContextWindowExceeded, 400, "invalid_request_error",
			"litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: OpenAIException - This model's maximum context length is 10 tokens"},
		{400, "openai", openaiError("Your request was rejected as a result of the safety system", "x", "content_policy_violation"), call.ClassContentPolicyViolation, 400, "invalid_request_error",
			"litellm.BadRequestError: litellm.ContentPolicyViolationError: ContentPolicyViolationError: OpenAIException - Your request was rejected as a result of the safety system"},
		{401, "openai", openaiError("Incorrect API key provided: x", "invalid_request_error", "invalid_api_key"), call.ClassAuthentication, 401, "authentication_error", "litellm.AuthenticationError: AuthenticationError: OpenAIException - Incorrect API key provided: x"},
		{429, "groq", openaiError("Request too large for gpt-4", "tokens", "rate_limit_exceeded"), call.ClassRateLimit, 429, "throttling_error", "litellm.RateLimitError: RateLimitError: GroqException - Request too large for gpt-4"},
		{413, "groq", openaiError("Request too large for model", "tokens", "tpm"), call.ClassRateLimit, 429, "throttling_error", "litellm.RateLimitError: RateLimitError: GroqException - Request too large for model"},
		{503, "together_ai", `{"detail":"Rate-limit, slow down"}`, call.ClassRateLimit, 429, "throttling_error", "litellm.RateLimitError: RateLimitError: Together_aiException - Rate-limit, slow down"},
		{500, "xai", `{"error":"The server had an error processing your request."}`, call.ClassInternalServer, 500, "internal_server_error", "litellm.InternalServerError: XaiException - The server had an error processing your request."},

		{400, "hosted_vllm", `{"object":"error","message":"vllm text","type":"BadRequestError","param":"n","code":400}`, call.ClassBadRequest, 400, "BadRequestError", "litellm.BadRequestError: Hosted_vllmException - vllm text"},
		{422, "mistral", `{"detail":[{"loc":["body","x",0],"msg":"field required"},{"msg":"no"}]}`, call.ClassBadRequest, 422, "invalid_request_error", "litellm.BadRequestError: MistralException - body.x.0: field required; no"},
		{500, "mistral", `{"message":"m","request_id":"r"}`, call.ClassInternalServer, 500, "internal_server_error", "litellm.InternalServerError: InternalServerError: MistralException - m"},
		{400, "openai", `[{"error":{"code":400,"message":"in a list","status":"INVALID_ARGUMENT"}}]`, call.ClassBadRequest, 400, "invalid_request_error", "litellm.BadRequestError: OpenAIException - in a list"},
		{502, "openai", "<html><head><TITLE>502 Bad\nGateway</TITLE></head></html>", call.ClassBadGateway, 502, "internal_server_error", "litellm.BadGatewayError: BadGatewayError: OpenAIException - 502 Bad Gateway (the upstream answered with an HTML page)"},
		{502, "openai", "<html>", call.ClassBadGateway, 502, "internal_server_error", "litellm.BadGatewayError: BadGatewayError: OpenAIException - the upstream answered with an HTML page"},
		{500, "openai", "plain \xff text", call.ClassInternalServer, 500, "internal_server_error", "litellm.InternalServerError: InternalServerError: OpenAIException - plain \uFFFD text"},
		{500, "openai", "", call.ClassInternalServer, 500, "internal_server_error", "litellm.InternalServerError: InternalServerError: OpenAIException - Error code: 500"},
		{500, "openai", `{"error":{"code":7}}`, call.ClassInternalServer, 500, "internal_server_error", `litellm.InternalServerError: InternalServerError: OpenAIException - {"error":{"code":7}}`},
		{400, "openai", `{"error":{"message":"m"},"choices":5}`, call.ClassBadRequest, 400, "invalid_request_error", "litellm.BadRequestError: OpenAIException - m"},
		{429, "openrouter", `{"error":{"code":429,"message":"Provider returned error","metadata":{"provider_name":"G","raw":"slow down"}}}`, call.ClassRateLimit, 429, "throttling_error", "litellm.RateLimitError: RateLimitError: OpenrouterException - Provider returned error: slow down"},
	} {
		e := Classifier{}.Status(deployment(tt.provider), tt.status, nil, []byte(tt.body))
		if e.Class != tt.class || e.StatusCode() != tt.own || e.Upstream != tt.status || e.Type != tt.typ || e.Message != tt.message {
			t.Errorf("%d %s:\n%v %d %q %q\nwant\n%v %d %q %q", tt.status, tt.body, e.Class, e.StatusCode(), e.Type, e.Message, tt.class, tt.own, tt.typ, tt.message)
		}
	}
}

// TestErrorClassGate pins D27 of docs/compatibility.md: words that a refusal
// may have taken from the prompt do not make it a rate limit.
func TestErrorClassGate(t *testing.T) {
	for _, tt := range []struct {
		status int
		text   string
		want   call.Class
	}{
		{400, "please mind the rate limit of prompts", call.ClassBadRequest},
		{400, "error 429 in your text", call.ClassBadRequest},
		{401, "rate limit", call.ClassAuthentication},
		{500, "rate_limit", call.ClassInternalServer},
		{400, "Request too large", call.ClassBadRequest},
		{500, "this model's maximum context length is", call.ClassInternalServer},
		{429, "anything", call.ClassRateLimit},
		{503, "Rate limit reached", call.ClassRateLimit},
		{529, "rate-limited", call.ClassRateLimit},
		{503, "Service tier capacity exceeded", call.ClassRateLimit},
		{400, "string_above_max_length: this model's maximum context length is", call.ClassBadRequest},
		{400, "Invalid 'user': string too long. Expected a string with maximum length 64", call.ClassBadRequest},
		{400, "'messages': string too long. Expected a string with maximum length 10485760", call.ClassContextWindowExceeded},
		{400, "Your prompt is too long", call.ClassContextWindowExceeded},
		{400, "Current length is 9 while limit is 8", call.ClassContextWindowExceeded},
		{500, "Request timed out", call.ClassTimeout},
		{400, "Invalid prompt: violating our usage policy", call.ClassContentPolicyViolation},
	} {
		body := fmt.Sprintf(`{"error":{"message":%q,"type":"invalid_request_error","param":null,"code":null}}`, tt.text)
		if e := (Classifier{}).Status(deployment("openai"), tt.status, nil, []byte(body)); e.Class != tt.want {
			t.Errorf("%d %s: %v, want %v", tt.status, tt.text, e.Class, tt.want)
		}
	}
}

func TestSymbolicCodesSurvive(t *testing.T) {
	for _, code := range []string{"context_length_exceeded", "insufficient_quota", "content_filter", "model_not_found"} {
		if e := (Classifier{}).Status(deployment("openai"), 400, nil, []byte(openaiError("m", "t", code))); e.Code != code {
			t.Errorf("%s becomes %q", code, e.Code)
		}
	}
	if e := (Classifier{}).Status(deployment("azure"), 401, nil, []byte(`{"error":{"code":"401","message":"m"}}`)); e.Code != "" {
		t.Errorf("a status as code: %q", e.Code)
	}
}

func TestRetryHeaders(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		header http.Header
		want   time.Duration
	}{
		{nil, -1},
		{http.Header{"Retry-After": {"7"}}, 7 * time.Second},
		{http.Header{"Retry-After": {" 0.5 "}}, time.Second / 2},
		{http.Header{"Retry-After": {"0"}}, 0},
		{http.Header{"Retry-After": {"7"}, "Retry-After-Ms": {"1500"}}, 1500 * time.Millisecond},
		{http.Header{"Retry-After": {"Fri, 02 Jan 2026 03:04:35 GMT"}}, 30 * time.Second},
		{http.Header{"Retry-After": {"Fri, 02 Jan 2026 03:00:00 GMT"}}, 0},
		{http.Header{"Retry-After": {"999999999"}}, 24 * time.Hour},
		{http.Header{"Retry-After": {"-1"}}, -1},
		{http.Header{"Retry-After": {"NaN"}}, -1},
		{http.Header{"Retry-After": {"soon"}, "Retry-After-Ms": {"x"}}, -1},
	} {
		if got := retryAfter(tt.header, now); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.header, got, tt.want)
		}
	}
	h := http.Header{"Retry-After": {"7"}, "X-Should-Retry": {"false"}, "Set-Cookie": {"a"}, "Content-Encoding": {"gzip"}}
	e := Classifier{}.Status(deployment("openai"), 429, h, nil)
	if len(e.Header) != 2 || e.Header.Get("Retry-After") != "7" || e.Header.Get("X-Should-Retry") != "false" || e.RetryAfter != 7*time.Second {
		t.Errorf("%v, %v", e.Header, e.RetryAfter)
	}
}

func TestSecretsOfUpstreamsStayHere(t *testing.T) {
	d := deployment("openai")
	bodies := []string{
		openaiError("Incorrect API key provided: sk-planted-0123456789", "t", "c"),
		openaiError("m", "sk-planted-0123456789", "sk-planted-0123456789"),
		`{"error":{"message":"m","param":"sk-planted-0123456789"}}`,
		"key sk-planted-0123456789 refused",
		"<title>sk-planted-0123456789</title>",
		`{"detail":{"sk-planted-0123456789":1}}`,
	}
	for _, body := range bodies {
		for _, e := range []*call.Error{
			Classifier{}.Status(d, 401, nil, []byte(body)),
			Classifier{}.Fault(d, []byte(body)),
			Classifier{}.Invalid(d, 200, nil, []byte(body)),
			Classifier{}.Stream(d, &splice.StreamError{Kind: splice.NotStream, Body: []byte(body)}),
		} {
			if text := fmt.Sprintf("%s %s %s %s %v", e.Message, e.Type, e.Param, e.Code, e.Header); strings.Contains(text, "planted") {
				t.Errorf("%s: %s", body, text)
			}
		}
	}
}

func TestLongTextsAreCut(t *testing.T) {
	for _, body := range []string{
		openaiError(strings.Repeat("ü", 10_000), "t", "c"),
		strings.Repeat("ü", 100_000),
		"<title>" + strings.Repeat("ü", 100_000),
		`{"error":"` + strings.Repeat("x", 200_000),
	} {
		if e := (Classifier{}).Status(deployment("openai"), 500, nil, []byte(body)); len(e.Message) > maxText+200 {
			t.Errorf("a message of %d bytes", len(e.Message))
		}
	}
}

func TestFault(t *testing.T) {
	for _, tt := range []struct {
		body   string
		class  call.Class
		status int
		want   string
	}{
		{`{"error":{"message":"over","code":503}}`, call.ClassServiceUnavailable, 503, "over"},
		{`{"error":{"message":"m","type":"server_error","code":null}}`, call.ClassBadGateway, 502, "m"},
		{`{"choices":[{"index":0},{"error":{"message":"inner","code":429}}]}`, call.ClassRateLimit, 429, "inner"},
		{`{"error":"short"}`, call.ClassBadGateway, 502, "short"},
		{`{"error":{"message":"Tool call validation failed","type":"invalid_request_error","code":"tool_use_failed","status_code":400}}`, call.ClassBadRequest, 400, "Tool call"},
	} {
		e := Classifier{}.Fault(deployment("openai"), []byte(tt.body))
		if e.Class != tt.class || e.StatusCode() != tt.status || !strings.Contains(e.Message, tt.want) {
			t.Errorf("%s: %v %d %s", tt.body, e.Class, e.StatusCode(), e.Message)
		}
	}
}

// TestEmptyStream pins D22 of docs/compatibility.md: what never began is a
// failure that can be retried, what was cut off never looks complete.
func TestEmptyStream(t *testing.T) {
	d := deployment("openai")
	for _, tt := range []struct {
		name, in string
		want     string
		class    call.Class
		status   int
		says     string
	}{
		{"nothing", "", "", call.ClassBadGateway, 502, "closed the stream before its first event"},
		{"comments", ": a\n\n", "", call.ClassBadGateway, 502, "closed the stream before its first event"},
		{"an end mark alone", "data: [DONE]\n\n", "", call.ClassBadGateway, 502, "closed the stream before its first event"},
		{"a page", "<html><title>Busy</title></html>", "", call.ClassBadGateway, 502, "Busy (the upstream answered with an HTML page)"},
		{"a refusal as JSON", `{"error":{"message":"m","code":429}}`, "", call.ClassRateLimit, 429, "- m"},
		{"a refusal as an event", "data: {\"error\":{\"message\":\"m\",\"code\":401}}\n\n", "", call.ClassAuthentication, 401, "- m"},
		{"text", "upstream connect error", "", call.ClassBadGateway, 502, "upstream connect error"},
		{"cut off", "data: {\"choices\":[]}\n\n", "data: {\"choices\":[]}\n\n", call.ClassInternalServer, 500, "closed the stream before the answer was complete"},
		{"broken", "data: {\"choices\":[]}\n\ndata: {]\n\n", "data: {\"choices\":[]}\n\n", call.ClassInternalServer, 500, "not valid JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tap splice.Tap
			tap.Reset(splice.TapOptions{})
			out, err := tap.Feed([]byte(tt.in))
			got := string(out)
			if err == nil {
				out, err = tap.Finish()
				got += string(out)
			}
			if err == nil {
				t.Fatal("a clean end")
			}
			e := Classifier{}.Stream(d, err)
			if got != tt.want || e.Class != tt.class || e.StatusCode() != tt.status || !strings.Contains(e.Message, tt.says) {
				t.Errorf("%q, %v %d %s", got, e.Class, e.StatusCode(), e.Message)
			}
			if tap.Started() != (tt.want != "") {
				t.Error("whether anything was sent is not told right")
			}
		})
	}
}

func TestStreamUnderstandsEveryError(t *testing.T) {
	d := deployment("openai")
	own := call.NewError(400, "", "", "own")
	for _, tt := range []struct {
		err  error
		want call.Class
	}{
		{own, call.ClassGateway},
		{fmt.Errorf("wrapped: %w", own), call.ClassGateway},
		{&wire.Fault{Body: []byte(`{"error":{"code":429}}`)}, call.ClassRateLimit},
		{splice.ErrNotJSON, call.ClassBadGateway},
		{io.ErrUnexpectedEOF, call.ClassAPIConnection},
		{context.Canceled, call.ClassClientGone},
		{&splice.StreamError{Kind: splice.TooLarge}, call.ClassInternalServer},
	} {
		if e := (Classifier{}).Stream(d, tt.err); e.Class != tt.want {
			t.Errorf("%v: %v", tt.err, e.Class)
		}
	}
}

func TestTransport(t *testing.T) {
	d := deployment("openai")
	dial := func(err error) error {
		return &url.Error{Op: "Post", URL: "https://up.example/v1?key=planted", Err: &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7)}, Err: err}}
	}
	for _, tt := range []struct {
		err   error
		class call.Class
		says  string
	}{
		{dial(syscall.ECONNREFUSED), call.ClassAPIConnection, "refused the connection"},
		{dial(syscall.ECONNRESET), call.ClassAPIConnection, "reset the connection"},
		{dial(syscall.ENETUNREACH), call.ClassAPIConnection, "not reachable"},
		{dial(&net.DNSError{IsNotFound: true, Name: "up.example"}), call.ClassAPIConnection, "does not exist"},
		{dial(&net.DNSError{IsTemporary: true, Name: "up.example"}), call.ClassAPIConnection, "could not be resolved"},
		{dial(errors.New("x509: certificate signed by unknown authority")), call.ClassAPIConnection, "TLS handshake"},
		{io.ErrUnexpectedEOF, call.ClassAPIConnection, "closed the connection"},
		{io.EOF, call.ClassAPIConnection, "closed the connection"},
		{errors.New("strange"), call.ClassAPIConnection, "could not be reached"},
		{context.DeadlineExceeded, call.ClassTimeout, "timed out"},
		{dial(os.ErrDeadlineExceeded), call.ClassTimeout, "timed out"},
		{context.Canceled, call.ClassClientGone, "Client disconnected the request"},
	} {
		e := Classifier{}.Transport(d, tt.err)
		if e.Class != tt.class || !strings.Contains(e.Message, tt.says) || !errors.Is(e, tt.err) {
			t.Errorf("%v: %v %s", tt.err, e.Class, e.Message)
		}
		for _, leak := range []string{"planted", "10.0.0.7", "up.example", "dial"} {
			if strings.Contains(e.Message, leak) {
				t.Errorf("%v: %s", tt.err, e.Message)
			}
		}
		if e.Upstream != 0 {
			t.Errorf("%v: an upstream status from nowhere", tt.err)
		}
	}
}

func TestTimeoutTexts(t *testing.T) {
	d := deployment("openai")
	l := call.Limits{Timeout: 600 * time.Second, Stream: 1500 * time.Millisecond}
	if e := (Classifier{}).Timeout(d, l, false); e.Message != "litellm.Timeout: Timeout Error: OpenAIException - Request timed out after 600 seconds." || e.StatusCode() != 408 {
		t.Errorf("%d %s", e.StatusCode(), e.Message)
	}
	if e := (Classifier{}).Timeout(d, l, true); !strings.Contains(e.Message, "stalled after 1.5 seconds") {
		t.Error(e.Message)
	}
}

func TestInvalid(t *testing.T) {
	d := deployment("openai")
	for _, tt := range []struct {
		header http.Header
		body   string
		says   string
	}{
		{nil, "", "empty"},
		{nil, "<title>Hello</title>", "Hello (the upstream answered with an HTML page)"},
		{nil, `{"id":`, "not valid JSON"},
		{http.Header{"Content-Encoding": {"gzip"}}, "\x1f\x8b", "compressed"},
	} {
		e := Classifier{}.Invalid(d, 200, tt.header, []byte(tt.body))
		if e.StatusCode() != 502 || e.Upstream != 200 || !strings.Contains(e.Message, tt.says) {
			t.Errorf("%q: %d %s", tt.body, e.StatusCode(), e.Message)
		}
	}
}

func TestName(t *testing.T) {
	for provider, want := range map[string]string{"": "OpenAIException", "openai": "OpenAIException", "groq": "GroqException", "vertex_ai": "VertexAIException", "hosted_vllm": "Hosted_vllmException"} {
		if got := Name(provider); got != want {
			t.Errorf("%s: %s", provider, got)
		}
	}
}

func FuzzStatus(f *testing.F) {
	f.Add(400, []byte(openaiError("m", "t", "c")))
	f.Add(500, []byte(`[{"error":[]}]`))
	f.Add(502, []byte("<title>x"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		e := Classifier{}.Status(deployment("openai"), status, nil, body)
		if e.Message == "" || e.StatusCode() < 400 || e.StatusCode() > 599 {
			t.Errorf("%d %q", e.StatusCode(), e.Message)
		}
		if s := (Classifier{}).Fault(deployment("openai"), body).StatusCode(); s < 400 || s > 599 {
			t.Errorf("a fault of status %d", s)
		}
	})
}
