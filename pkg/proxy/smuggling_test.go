package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// good is a whole request. Where it stands behind another's body it is what a
// smuggler wants to have served.
var good = raw(chatLine, sized(smallChat), smallChat)

// malformed are requests that servers in a row could read differently, or not
// at all.
func malformed() map[string]string {
	chunked := "Transfer-Encoding: chunked\r\n"
	list := map[string]string{
		"CL.TE: a length and chunks":                raw(chatLine, sized(smallChat)+chunked, inChunks(smallChat)),
		"CL.TE: the rest is a request":              raw(chatLine, fmt.Sprintf("Content-Length: %d\r\n", 5+len(good))+chunked, lastChunkAnd(good)),
		"TE.CL: chunks and a length":                raw(chatLine, chunked+"Content-Length: 4\r\n", inChunks(smallChat)),
		"TE.CL: a request within a chunk":           raw(chatLine, chunked+"Content-Length: 4\r\n", inChunks(good)),
		"TE.TE: chunked twice":                      raw(chatLine, chunked+chunked, inChunks(smallChat)),
		"TE.TE: chunked and identity":               raw(chatLine, chunked+"Transfer-Encoding: identity\r\n", inChunks(smallChat)),
		"TE.TE: a list":                             raw(chatLine, "Transfer-Encoding: identity, chunked\r\n", inChunks(smallChat)),
		"TE.TE: chunked in a list of two":           raw(chatLine, "Transfer-Encoding: chunked, chunked\r\n", inChunks(smallChat)),
		"TE: xchunked":                              raw(chatLine, "Transfer-Encoding: xchunked\r\n"+sized(smallChat), smallChat),
		"TE: gzip":                                  raw(chatLine, "Transfer-Encoding: gzip\r\n"+sized(smallChat), smallChat),
		"TE: identity and a length":                 raw(chatLine, "Transfer-Encoding: identity\r\n"+sized(smallChat), smallChat),
		"TE: empty":                                 raw(chatLine, "Transfer-Encoding:\r\n"+sized(smallChat), smallChat),
		"TE: a vertical tab before chunked":         raw(chatLine, "Transfer-Encoding: \x0bchunked\r\n"+sized(smallChat), smallChat),
		"TE: quoted":                                raw(chatLine, "Transfer-Encoding: \"chunked\"\r\n"+sized(smallChat), smallChat),
		"TE: a parameter":                           raw(chatLine, "Transfer-Encoding: chunked;q=1\r\n"+sized(smallChat), smallChat),
		"TE: a blank before the colon":              raw(chatLine, "Transfer-Encoding : chunked\r\n"+sized(smallChat), smallChat),
		"TE: a tab before the colon":                raw(chatLine, "Transfer-Encoding\t: chunked\r\n"+sized(smallChat), smallChat),
		"TE: folded":                                raw(chatLine, "Transfer-Encoding:\r\n chunked\r\n"+sized(smallChat), smallChat),
		"TE: behind a carriage return":              raw(chatLine, "X: y\rTransfer-Encoding: chunked\r\n"+sized(smallChat), smallChat),
		"TE: behind a bare line feed":               raw(chatLine, "X: y\nTransfer-Encoding: chunked\r\n"+sized(smallChat), smallChat),
		"TE over HTTP/1.0":                          raw("POST /v1/chat/completions HTTP/1.0", chunked, inChunks(smallChat)),
		"TE and a length over HTTP/1.0":             raw("POST /v1/chat/completions HTTP/1.0", chunked+sized(smallChat), smallChat),
		"CL: two that differ":                       raw(chatLine, sized(smallChat)+"Content-Length: 5\r\n", smallChat),
		"CL: two that agree":                        raw(chatLine, sized(smallChat)+sized(smallChat), smallChat),
		"CL: a list":                                raw(chatLine, fmt.Sprintf("Content-Length: %d, %[1]d\r\n", len(smallChat)), smallChat),
		"CL: signed":                                raw(chatLine, fmt.Sprintf("Content-Length: +%d\r\n", len(smallChat)), smallChat),
		"CL: negative":                              raw(chatLine, "Content-Length: -1\r\n", smallChat),
		"CL: hex":                                   raw(chatLine, fmt.Sprintf("Content-Length: 0x%x\r\n", len(smallChat)), smallChat),
		"CL: a point":                               raw(chatLine, fmt.Sprintf("Content-Length: %d.0\r\n", len(smallChat)), smallChat),
		"CL: empty":                                 raw(chatLine, "Content-Length:\r\n", smallChat),
		"CL: words":                                 raw(chatLine, "Content-Length: many\r\n", smallChat),
		"CL: beyond all numbers":                    raw(chatLine, "Content-Length: 99999999999999999999999\r\n", smallChat),
		"CL: a blank before the colon":              raw(chatLine, fmt.Sprintf("Content-Length : %d\r\n", len(smallChat)), smallChat),
		"CL: folded":                                raw(chatLine, fmt.Sprintf("Content-Length:\r\n %d\r\n", len(smallChat)), smallChat),
		"CL: behind a bare line feed":               raw(chatLine, fmt.Sprintf("X: y\nContent-Length: %d\r\n", len(smallChat)), smallChat),
		"CL: longer than the body":                  raw(chatLine, "Content-Length: 1000\r\n", smallChat),
		"CL: shorter than the body":                 raw(chatLine, "Content-Length: 5\r\n", smallChat),
		"chunk: no size":                            raw(chatLine, chunked, "\r\n"+smallChat),
		"chunk: a size that is no number":           raw(chatLine, chunked, "zz\r\n"+smallChat+"\r\n0\r\n\r\n"),
		"chunk: a size with a prefix":               raw(chatLine, chunked, "0x1e\r\n"+smallChat+"\r\n0\r\n\r\n"),
		"chunk: a negative size":                    raw(chatLine, chunked, "-1e\r\n"+smallChat+"\r\n0\r\n\r\n"),
		"chunk: a signed size":                      raw(chatLine, chunked, "+1e\r\n"+smallChat+"\r\n0\r\n\r\n"),
		"chunk: a size beyond all numbers":          raw(chatLine, chunked, "1000000000000001e\r\n"+smallChat+"\r\n0\r\n\r\n"),
		"chunk: a line feed behind the size":        raw(chatLine, chunked, "1e\n"+smallChat+"\r\n0\r\n\r\n"),
		"chunk: a line feed behind the data":        raw(chatLine, chunked, "1e\r\n"+smallChat+"\n0\r\n\r\n"),
		"chunk: a carriage return within the size":  raw(chatLine, chunked, "1\re\r\n"+smallChat+"\r\n0\r\n\r\n"),
		"chunk: a blank before the size":            raw(chatLine, chunked, " 1e\r\n"+smallChat+"\r\n0\r\n\r\n"),
		"chunk: more data than the size":            raw(chatLine, chunked, "5\r\n"+smallChat+"\r\n0\r\n\r\n"),
		"chunk: no last one":                        raw(chatLine, chunked, "1e\r\n"+smallChat+"\r\n"),
		"chunk: no end":                             raw(chatLine, chunked, "1e\r\n"+smallChat+"\r\n0\r\n"),
		"chunk: a line feed in an extension":        raw(chatLine, chunked, "1e;a=\"\n\"\r\n"+smallChat+"\r\n0\r\n\r\n"),
		"chunk: an extension of 1 MB":               raw(chatLine, chunked, "1e;"+strings.Repeat("a", 1<<20)+"\r\n"+smallChat+"\r\n0\r\n\r\n"),
		"trailer: no header":                        raw(chatLine, chunked, "1e\r\n"+smallChat+"\r\n0\r\n"+good),
		"trailer: folded":                           raw(chatLine, chunked, "1e\r\n"+smallChat+"\r\n0\r\nX: y\r\n z\r\n\r\n"),
		"trailer: bare line feeds":                  raw(chatLine, chunked, "1e\r\n"+smallChat+"\r\n0\r\nX: y\n\n"),
		"bare line feeds":                           strings.ReplaceAll(good, "\r\n", "\n"),
		"one bare line feed":                        raw(chatLine, sized(smallChat)+"X: y\n", smallChat),
		"a line feed for the empty line":            strings.Replace(good, "\r\n\r\n", "\r\n\n", 1),
		"bare carriage returns":                     strings.ReplaceAll(good, "\r\n", "\r"),
		"a folded header":                           raw(chatLine, sized(smallChat)+"X: a\r\n b\r\n", smallChat),
		"a fold in the first header":                chatLine + "\r\n X: y\r\n" + strings.SplitN(good, "\r\n", 2)[1],
		"a blank before a colon":                    raw(chatLine, sized(smallChat)+"X : y\r\n", smallChat),
		"a header without a colon":                  raw(chatLine, sized(smallChat)+"X\r\n", smallChat),
		"a header without a name":                   raw(chatLine, sized(smallChat)+": y\r\n", smallChat),
		"a NUL in a name":                           raw(chatLine, sized(smallChat)+"X\x00Y: y\r\n", smallChat),
		"a NUL in a value":                          raw(chatLine, sized(smallChat)+"X: a\x00b\r\n", smallChat),
		"a NUL in the request line":                 raw("POST /v1/chat/comp\x00letions HTTP/1.1", sized(smallChat), smallChat),
		"a carriage return in a value":              raw(chatLine, sized(smallChat)+"X: a\rb\r\n", smallChat),
		"two hosts":                                 raw(chatLine, sized(smallChat)+"Host: y\r\n", smallChat),
		"no host":                                   strings.Replace(good, "Host: x\r\n", "", 1),
		"a host with a blank":                       strings.Replace(good, "Host: x", "Host: x y", 1),
		"absolute form":                             raw("POST http://x/v1/chat/completions HTTP/1.1", sized(smallChat), smallChat),
		"absolute form to another host":             raw("POST http://169.254.169.254/v1/chat/completions HTTP/1.1", sized(smallChat), smallChat),
		"absolute form with a login":                raw("POST http://a:b@x/v1/chat/completions HTTP/1.1", sized(smallChat), smallChat),
		"authority form":                            raw("CONNECT upstream.example:443 HTTP/1.1", "", ""),
		"no version":                                raw("POST /v1/chat/completions", sized(smallChat), smallChat),
		"a version of the future":                   raw("POST /v1/chat/completions HTTP/1.9", sized(smallChat), smallChat),
		"HTTP/2.0 in the request line":              raw("POST /v1/chat/completions HTTP/2.0", sized(smallChat), smallChat),
		"a version in lower case":                   raw("POST /v1/chat/completions http/1.1", sized(smallChat), smallChat),
		"two blanks in the request line":            raw("POST  /v1/chat/completions  HTTP/1.1", sized(smallChat), smallChat),
		"a tab in the request line":                 raw("POST\t/v1/chat/completions\tHTTP/1.1", sized(smallChat), smallChat),
		"a blank in the path":                       raw("POST /v1/chat completions HTTP/1.1", sized(smallChat), smallChat),
		"a method that is no token":                 raw("PO(ST /v1/chat/completions HTTP/1.1", sized(smallChat), smallChat),
		"a blank before the method":                 " " + good,
		"a byte order mark":                         "\xef\xbb\xbf" + good,
		"a head of 1 MB":                            raw(chatLine, sized(smallChat)+strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 1000), smallChat),
		"a value of 1 MB":                           raw(chatLine, sized(smallChat)+"X: "+strings.Repeat("y", 1<<20)+"\r\n", smallChat),
		"a path of 1 MB":                            raw("POST /v1/chat/completions?"+strings.Repeat("y", 1<<20)+" HTTP/1.1", sized(smallChat), smallChat),
		"100,000 headers":                           raw(chatLine, sized(smallChat)+strings.Repeat("X: y\r\n", 100_000), smallChat),
		"a head that does not end":                  strings.TrimSuffix(raw(chatLine, "", ""), "\r\n"),
		"the preface of HTTP/2":                     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
		"the preface of HTTP/2, then a request":     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + good,
		"a hello of TLS":                            "\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + strings.Repeat("\x00\x01\x02\x03", 50),
		"a header of PROXY":                         "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n" + good,
		"an expectation that cannot be met":         raw(chatLine, sized(smallChat)+"Expect: 200-ok\r\n", smallChat),
		"nothing but line feeds":                    strings.Repeat("\n", 1000),
		"NULs":                                      strings.Repeat("\x00", 10_000),
		"a request behind one that is cut off":      raw(chatLine, "Content-Length: 30000\r\n", good),
		"an upgrade to HTTP/2 with a broken length": raw(chatLine, "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 3, 3\r\n", smallChat),
	}
	return list
}

func lastChunkAnd(rest string) string { return "0\r\n\r\n" + rest }

// TestMalformedRequestsAreNeverForwarded: each gets a refusal or the end of its
// connection, and the upstream hears nothing of it.
func TestMalformedRequestsAreNeverForwarded(t *testing.T) {
	var asked atomic.Int32
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	})
	list := malformed()
	if len(list) < 80 {
		t.Errorf("%d requests", len(list))
	}
	config := func() Config { return Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}} }
	onBothListeners(t, config, func(t *testing.T, dial func() (net.Conn, error)) {
		for name, send := range list {
			t.Run(name, func(t *testing.T) {
				asked.Store(0)
				statuses, ended := exchangeRaw(t, dial, send, 0)
				for _, s := range statuses {
					if s < 400 {
						t.Errorf("answered %v", statuses)
					}
				}
				if !ended {
					t.Error("the connection does not end")
				}
				if asked.Load() != 0 {
					t.Errorf("the upstream was asked %d times", asked.Load())
				}
			})
		}
	})
	t.Logf("%d requests over each of two listeners", len(list))
}

// TestOddButSoundRequestsAreServed: the corpus above would also pass before a
// server that refuses everything.
func TestOddButSoundRequestsAreServed(t *testing.T) {
	var asked atomic.Int32
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	})
	chunked := "Transfer-Encoding: chunked\r\n"
	long := `{"model":"fast","messages":[{"role":"user","content":"` + strings.Repeat("x", 300<<10) + `"}]}`
	config := func() Config { return Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}} }
	get := "GET /health/liveliness HTTP/1.1\r\nHost: x\r\n\r\n"
	tests := []struct {
		name, send string
		answers    int
		forwarded  int32
	}{
		{"one", good, 1, 1},
		{"one over HTTP/1.0", raw("POST /v1/chat/completions HTTP/1.0", sized(smallChat), smallChat), 1, 1},
		{"an empty line behind a body", good + "\r\n" + good, 2, 2},
		{"names in odd case", raw(chatLine, "content-LENGTH: "+fmt.Sprint(len(smallChat))+"\r\n", smallChat), 1, 1},
		{"blanks around the length", raw(chatLine, "Content-Length:\t "+fmt.Sprint(len(smallChat))+" \t\r\n", smallChat), 1, 1},
		{"five in a row, sent at once", strings.Repeat(good, 5), 5, 5},
		{"others between them", good + get + good + get, 4, 2},
		{"chunks", raw(chatLine, chunked, inChunks(smallChat)), 1, 1},
		{"chunks of one byte", raw(chatLine, chunked, oneByOne(smallChat)+"0\r\n\r\n"), 1, 1},
		{"chunks with extensions and a trailer", raw(chatLine, chunked, "1E;a=\"b;c\"\r\n"+smallChat+"\r\n000;x\r\nX: y\r\n\r\n"), 1, 1},
		{"chunks, then others", raw(chatLine, chunked, inChunks(smallChat)) + get + raw(chatLine, chunked, inChunks(smallChat)) + good, 4, 3},
		{"a request within the content of another", raw(chatLine, sized(`{"model":"fast","messages":[{"content":"`+strings.ReplaceAll(strings.ReplaceAll(good, "\r\n", `\r\n`), `"`, `\"`)+`"}]}`),
			`{"model":"fast","messages":[{"content":"`+strings.ReplaceAll(strings.ReplaceAll(good, "\r\n", `\r\n`), `"`, `\"`)+`"}]}`), 1, 1},
		{"a long body, then another request", raw(chatLine, sized(long), long) + good, 2, 2},
		{"line feeds in the body", raw(chatLine, sized(strings.ReplaceAll(smallChat, ",", ",\n\n")), strings.ReplaceAll(smallChat, ",", ",\n\n")) + good, 2, 2},
		{"a long head", raw(chatLine, sized(smallChat)+"Cookie: "+strings.Repeat("y", 60<<10)+"\r\n", smallChat) + good, 2, 2},
	}
	onBothListeners(t, config, func(t *testing.T, dial func() (net.Conn, error)) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				asked.Store(0)
				statuses, _ := exchangeRaw(t, dial, tt.send, tt.answers)
				for _, s := range statuses {
					if s != 200 {
						t.Errorf("answered %v", statuses)
					}
				}
				if len(statuses) != tt.answers || asked.Load() != tt.forwarded {
					t.Errorf("%d answers and %d forwarded, want %d and %d", len(statuses), asked.Load(), tt.answers, tt.forwarded)
				}
			})
		}
	})
}
