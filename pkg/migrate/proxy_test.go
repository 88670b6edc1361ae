package migrate

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// cutter is a TCP proxy in front of PostgreSQL that breaks the first
// connection at a chosen message of the client's: before the server gets it,
// or after it got it and before the client sees the answer.
type cutter struct {
	t         testing.TB
	listener  net.Listener
	server    string
	at        int64  // message to cut at, from 1; 0 never
	delivered bool   // the server still gets the message
	deadAfter bool   // no further connection after the cut
	atCut     func() // called at the cut, before the client's side is closed

	messages atomic.Int64 // of the first connection
	cut      atomic.Bool
	seq      atomic.Int64
	wg       sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
}

func newCutter(t testing.TB, server string, at int64, delivered, deadAfter bool) *cutter {
	t.Helper()
	return startCutter(t, &cutter{server: server, at: at, delivered: delivered, deadAfter: deadAfter})
}

func startCutter(t testing.TB, c *cutter) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.t, c.listener = t, l
	c.wg.Add(1)
	go c.accept()
	return c
}

func (c *cutter) close() {
	c.listener.Close()
	c.mu.Lock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.mu.Unlock()
	c.wg.Wait()
}

// through is the URL by way of the proxy.
func (c *cutter) through(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		c.t.Fatal(err)
	}
	u.Host = c.listener.Addr().String()
	u.RawQuery = "sslmode=disable&connect_timeout=2"
	return u.String()
}

func (c *cutter) accept() {
	defer c.wg.Done()
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		if c.deadAfter && c.cut.Load() {
			client.Close()
			continue
		}
		server, err := net.Dial("tcp", c.server)
		if err != nil {
			client.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, client, server)
		c.mu.Unlock()
		first := c.seq.Add(1) == 1
		muted := &atomic.Bool{}
		c.wg.Add(2)
		go func() {
			defer c.wg.Done()
			defer client.Close()
			buf := make([]byte, 32<<10)
			for {
				n, err := server.Read(buf)
				if n > 0 && !muted.Load() {
					if _, werr := client.Write(buf[:n]); werr != nil {
						return
					}
				}
				if err != nil {
					return
				}
			}
		}()
		go func() {
			defer c.wg.Done()
			defer server.Close()
			c.forward(client, server, first, muted)
		}()
	}
}

// forward passes whole messages on.
func (c *cutter) forward(client, server net.Conn, first bool, muted *atomic.Bool) {
	startup := true
	for {
		head := make([]byte, 5)
		if startup {
			head = head[:4]
		}
		if _, err := io.ReadFull(client, head); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint32(head[len(head)-4:])) - 4
		if size < 0 || size > 1<<20 {
			return
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(client, body); err != nil {
			return
		}
		if first && !startup && c.messages.Add(1) == c.at {
			c.cut.Store(true)
			if c.delivered {
				muted.Store(true)
				_, _ = server.Write(append(head, body...))
				// The server's answer falls into nothing, and then so does the
				// connection; a terminate message lets the server finish first.
				_, _ = server.Write([]byte{'X', 0, 0, 0, 4})
			}
			if c.atCut != nil {
				c.atCut()
			}
			client.Close()
			return
		}
		startup = false
		if _, err := server.Write(append(head, body...)); err != nil {
			return
		}
	}
}
