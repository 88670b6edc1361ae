package upstream

import (
	"errors"
	"io"
	"net"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// answering is a server that reads a request's head and hands the connection
// over.
func answering(t *testing.T, serve func(c *net.TCPConn)) *url.URL {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4<<10))
			serve(c.(*net.TCPConn))
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return &url.URL{Scheme: "http", Host: ln.Addr().String(), Path: "/"}
}

func TestASocketIsReadAlikeWhereverItsBytesAreCut(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nabcde\r\n1\r\nf\r\n00a \r\n0123456789\r\n0\r\nX: y\r\n\r\n"
	cuts := make(chan int, 1)
	u := answering(t, func(c *net.TCPConn) {
		cut := <-cuts
		_, _ = io.WriteString(c, answer[:cut])
		time.Sleep(300 * time.Microsecond)
		_, _ = io.WriteString(c, answer[cut:])
	})
	client := New(Options{})
	defer client.Close()
	for cut := range len(answer) + 1 {
		cuts <- cut
		resp, _, err := client.Do(t.Context(), &call.Request{Method: "POST", URL: u, Body: []byte("{}"), Deadline: time.Now().Add(5 * time.Second)})
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		var got strings.Builder
		piece := make([]byte, 64)
		for err == nil {
			resp.Body.(call.Waiter).Wait()
			var n int
			n, err = resp.Body.Read(piece)
			got.Write(piece[:n])
		}
		if err != io.EOF || got.String() != "abcdef0123456789" {
			t.Fatalf("cut at %d: %q, %v", cut, got.String(), err)
		}
		for _, h := range *client.hosts.Load() {
			h.drop(0)
		}
	}
}

func TestASocketThatWaitsHoldsNoBuffer(t *testing.T) {
	if !canAsk {
		t.Skip("sockets cannot be asked on this system, so that a reader needs its buffer: run the test on Linux")
	}
	next := make(chan struct{})
	u := answering(t, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
		<-next
		_, _ = io.WriteString(c, "2\r\nko\r\n0\r\n\r\n")
	})
	client := New(Options{})
	defer client.Close()
	resp, _, err := client.Do(t.Context(), &call.Request{Method: "POST", URL: u, Body: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	in := &resp.Body.(*body).conn.in
	if n, err := resp.Body.Read(make([]byte, 10)); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	ask, asked := in.ask, 0
	in.ask = func(fd uintptr) bool {
		ok := ask(fd)
		if asked++; asked == 1 {
			if ok || in.buf != nil {
				t.Error("it holds a buffer while there is nothing to put into it")
			}
			close(next)
		}
		return ok
	}
	text, err := io.ReadAll(resp.Body)
	if string(text) != "ko" || err != nil || asked < 2 {
		t.Fatalf("%q, %v, asked %d times", text, err, asked)
	}
	if in.buf != nil {
		t.Error("an idle connection holds a buffer")
	}
}

func TestASocketsErrorsAreThoseOfAConnection(t *testing.T) {
	u := answering(t, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
		time.Sleep(20 * time.Millisecond)
		_ = c.SetLinger(0)
	})
	client := New(Options{})
	defer client.Close()
	read := func(deadline time.Time) error {
		t.Helper()
		resp, _, err := client.Do(t.Context(), &call.Request{Method: "POST", URL: u, Body: []byte("{}"), Deadline: deadline})
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if string(text) != "ok" {
			t.Errorf("%q came before the error", text)
		}
		return err
	}
	err := read(time.Time{})
	var op *net.OpError
	if !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &op) || op.Op != "read" || !strings.HasSuffix(err.Error(), ": read: connection reset by peer") {
		t.Errorf("a reset is %v", err)
	}
	if err := read(time.Now().Add(5 * time.Millisecond)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a time limit is %v", err)
	}
}

// FuzzChunked: whatever is accepted net/http accepts and reads alike.
func FuzzChunked(f *testing.F) {
	for _, text := range []string{
		"2\r\nok\r\n0\r\n\r\n", "2;x\r\nok\r\n0\r\nA: b\r\n\r\n", "2\nok\r\n0\r\n\r\n", "ffffffffffffffff\r\nok", "1\r\na\r\n1\r\nb\r\n0\r\n\r\nrest",
		"0\r\n\r\n", "\r\n", "2\r\nokk\r\n", "g\r\n", "1 \t\r\na\r\n0\r\n\r\n", "2\r\r\nok\r\n0\r\n\r\n",
	} {
		f.Add(text, uint16(1))
		f.Add(text, uint16(64))
	}
	f.Fuzz(func(t *testing.T, text string, piece uint16) {
		n := int(piece)%4096 + 1
		var in source
		in.open(&wireConn{r: &pieces{text, n}}, nil)
		var c chunked
		var got []byte
		var err error
		p := make([]byte, 7)
		for err == nil {
			var m int
			m, err = c.read(&in, p)
			got = append(got, p[:m]...)
		}
		want, wantErr := io.ReadAll(httputil.NewChunkedReader(strings.NewReader(text)))
		if err == io.EOF && (wantErr != nil || string(got) != string(want)) {
			t.Fatalf("%q in pieces of %d: own %q; net/http %q, %v", text, n, got, want, wantErr)
		}
		if err != io.EOF && !strings.HasPrefix(string(want), string(got)) && !strings.HasPrefix(string(got), string(want)) {
			t.Fatalf("%q in pieces of %d: own %q, %v; net/http %q", text, n, got, err, want)
		}
	})
}
