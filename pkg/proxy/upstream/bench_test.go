package upstream

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// benchmarkUpstream makes the test binary serve the benchmark instead, in a
// process of its own, so that its CPU time is not counted.
const benchmarkUpstream = "LLMGW_BENCHMARK_UPSTREAM"

// serveBenchmark answers requests until standard input ends. The path says how:
// /N sends N events, paced by a millisecond where a /paced follows.
func serveBenchmark() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		events, paced := 0, strings.HasSuffix(r.URL.Path, "/paced")
		fmt.Sscanf(r.URL.Path, "/%d", &events)
		if events == 0 {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, strings.Repeat("x", 440))
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for range events {
			if paced {
				time.Sleep(time.Millisecond)
			}
			io.WriteString(w, "data: "+strings.Repeat("x", 240)+"\n\n")
			w.(http.Flusher).Flush()
		}
	})}
	go func() { _ = s.Serve(l) }()
	io.Copy(io.Discard, os.Stdin)
	s.Close()
}
