package cmd

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func init() {
	scriptCommands["freeport"] = freePort
	scriptCommands["occupy"] = occupy
	scriptCommands["request"] = request
	scriptCommands["until"] = until
	scriptCommands["streams"] = streams
	scriptCommands["streamed"] = streamed
}

// freePort puts a free port into a variable: freeport PORT.
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: freeport NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	defer l.Close()
	ts.Setenv(args[0], strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
}

// occupy listens on a port until the script ends, and puts it into a variable.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: occupy NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
}

// request makes an HTTP request and demands a status; the body becomes the file
// "answer": request STATUS METHOD URL [HEADER: VALUE]... [BODY].
func request(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: request STATUS METHOD URL [HEADER: VALUE]... [BODY]")
	}
	status, body, err := doRequest(args[1:])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("answer"), []byte(body), 0o600))
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("%s: status %d, want %s: %s", strings.Join(args[1:3], " "), status, args[0], body)
	}
}

// until waits for a URL to answer with a status: until STATUS URL [HEADER: VALUE]...
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until STATUS URL [HEADER: VALUE]...")
	}
	var last string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		status, _, err := doRequest(append([]string{"GET"}, args[1:]...))
		if err == nil && strconv.Itoa(status) == args[0] {
			return
		}
		last = fmt.Sprint(status, " ", err)
	}
	ts.Fatalf("%s did not answer %s within 20 s; last: %s", args[1], args[0], last)
}

var headerArg = regexp.MustCompile(`^[A-Za-z-]+: `)

func doRequest(args []string) (status int, body string, err error) {
	req, err := newRequest(args)
	if err != nil {
		return 0, "", err
	}
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// streams begins a request and returns with the first bytes of its answer:
// streams METHOD URL [HEADER: VALUE]... [BODY]. streamed waits for the rest and
// leaves the whole in the file "answer", however it ended.
func streams(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: streams METHOD URL [HEADER: VALUE]... [BODY]")
	}
	req, err := newRequest(args)
	ts.Check(err)
	resp, err := (&http.Client{Timeout: time.Minute}).Do(req)
	ts.Check(err)
	first := make([]byte, 64)
	n, err := resp.Body.Read(first)
	ts.Check(err)
	whole := make(chan string, 1)
	go func() {
		defer resp.Body.Close()
		rest, _ := io.ReadAll(resp.Body)
		whole <- string(first[:n]) + string(rest)
	}()
	running.Store(ts, whole)
}

var running sync.Map // *testscript.TestScript -> chan string

func streamed(ts *testscript.TestScript, neg bool, args []string) {
	whole, ok := running.LoadAndDelete(ts)
	if neg || len(args) != 0 || !ok {
		ts.Fatalf("usage: streamed, after streams")
	}
	ts.Check(os.WriteFile(ts.MkAbs("answer"), []byte(<-whole.(chan string)), 0o600))
}

func newRequest(args []string) (*http.Request, error) {
	text := ""
	header := http.Header{}
	for _, a := range args[2:] {
		if name, value, ok := strings.Cut(a, ": "); ok && headerArg.MatchString(a) {
			header.Set(name, value)
			continue
		}
		text = a
	}
	req, err := http.NewRequest(args[0], args[1], strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header = header
	req.Close = true
	return req, nil
}
