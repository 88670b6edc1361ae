package upstream

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// odd is an answer that is odd or hostile.
type odd struct {
	name   string
	method string // POST when empty
	answer string
	// write sends what a text cannot say; nil sends answer.
	write func(net.Conn)
	// keep leaves the connection open behind the answer.
	keep bool
	// differs says how we and net/http differ; empty where we must not.
	differs string
}

// strict is the only way in which the clients may differ.
const strict = "we refuse what net/http lets pass"

func status(line string) string { return line + "\r\nContent-Length: 2\r\n\r\nok" }

func header(lines string) string {
	return "HTTP/1.1 200 OK\r\n" + lines + "\r\nContent-Length: 2\r\n\r\nok"
}

func length(value string) string {
	return "HTTP/1.1 200 OK\r\nContent-Length:" + value + "\r\n\r\nok"
}

func encoding(lines, body string) string {
	return "HTTP/1.1 200 OK\r\n" + lines + "\r\n\r\n" + body
}

func chunks(body string) string { return encoding("Transfer-Encoding: chunked", body) }

func drip(text string, gap time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		for i := range len(text) {
			if _, err := io.WriteString(c, text[i:i+1]); err != nil {
				return
			}
			time.Sleep(gap)
		}
	}
}

// forever sends begin, then again and again more, until nobody listens.
func forever(begin, more string) func(net.Conn) {
	return func(c net.Conn) {
		_, err := io.WriteString(c, begin)
		for err == nil {
			_, err = io.WriteString(c, more)
		}
	}
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

const lastChunk = "0\r\n\r\n"

func oddAnswers() []odd {
	list := []odd{
		{name: "nothing", answer: ""},
		{name: "an empty line", answer: "\r\n\r\n"},
		{name: "a version alone", answer: status("HTTP/1.1")},
		{name: "no status", answer: status("HTTP/1.1 ")},
		{name: "a status of two digits", answer: status("HTTP/1.1 20 OK")},
		{name: "a status of four digits", answer: status("HTTP/1.1 2000 OK")},
		{name: "a negative status", answer: status("HTTP/1.1 -20 OK")},
		{name: "a signed status", answer: status("HTTP/1.1 +20 OK"), differs: strict},
		{name: "a status that is no number", answer: status("HTTP/1.1 2x0 OK")},
		{name: "two blanks before the status", answer: status("HTTP/1.1  200 OK"), differs: strict},
		{name: "a tab before the status", answer: status("HTTP/1.1\t200 OK")},
		{name: "no reason", answer: status("HTTP/1.1 200")},
		{name: "an empty reason", answer: status("HTTP/1.1 200 ")},
		{name: "a reason that sticks to the status", answer: status("HTTP/1.1 200OK")},
		{name: "a reason in Latin-1", answer: status("HTTP/1.1 200 Gr\xfc\xdfe")},
		{name: "a reason with a NUL", answer: status("HTTP/1.1 200 O\x00K")},
		{name: "a reason with a carriage return", answer: status("HTTP/1.1 200 O\rK")},
		{name: "status 000", answer: status("HTTP/1.1 000 Odd"), differs: strict},
		{name: "status 099", answer: status("HTTP/1.1 099 Odd"), differs: strict},
		{name: "status 999", answer: status("HTTP/1.1 999 Odd")},
		{name: "status 205 with a body", answer: status("HTTP/1.1 205 Reset Content")},
		{name: "lower-case HTTP", answer: status("http/1.1 200 OK")},
		{name: "HTTP/1.2", answer: status("HTTP/1.2 200 OK"), differs: strict},
		{name: "HTTP/2.0", answer: status("HTTP/2.0 200 OK"), differs: strict},
		{name: "HTTP/0.9", answer: status("HTTP/0.9 200 OK"), differs: strict},
		{name: "HTTP/1.1.1", answer: status("HTTP/1.1.1 200 OK")},
		{name: "HTTP/11", answer: status("HTTP/11 200 OK")},
		{name: "HTTP/1.0", answer: status("HTTP/1.0 200 OK")},
		{name: "HTTP/1.0 that keeps alive", answer: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", keep: true},
		{name: "shoutcast", answer: status("ICY 200 OK")},
		{name: "ssh", answer: "SSH-2.0-OpenSSH_9.9\r\n"},
		{name: "smtp", answer: "220 smtp.example ESMTP\r\n"},
		{name: "a TLS alert", answer: "\x15\x03\x01\x00\x02\x02\x46"},
		{name: "an HTTP/2 settings frame", answer: "\x00\x00\x00\x04\x00\x00\x00\x00\x00"},
		{name: "a page without a head", answer: "<html><body>Bad gateway</body></html>\n"},
		{name: "JSON without a head", answer: `{"error":"no head"}` + "\n"},
		{name: "NULs", answer: strings.Repeat("\x00", 5000)},
		{name: "an empty line before the status line", answer: "\r\n" + ok},
		{name: "a blank before the status line", answer: " " + ok},
		{name: "a byte order mark", answer: "\xef\xbb\xbf" + ok},

		{name: "a folded header", answer: header("X: a\r\n b"), differs: strict},
		{name: "a header folded by a tab", answer: header("X: a\r\n\tb"), differs: strict},
		{name: "a fold in the first header", answer: header(" X: a")},
		{name: "a folded length", answer: "HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok", differs: strict},
		{name: "a blank before the colon", answer: header("X : a"), differs: strict},
		{name: "a tab before the colon", answer: header("X\t: a")},
		{name: "a blank within a name", answer: header("X Y: a"), differs: strict},
		{name: "no name", answer: header(": a")},
		{name: "no colon", answer: header("X")},
		{name: "a colon alone", answer: header(":")},
		{name: "a NUL in a name", answer: header("X\x00Y: a")},
		{name: "a NUL in a value", answer: header("X: a\x00b")},
		{name: "a carriage return in a value", answer: header("X: a\rb")},
		{name: "a hidden header behind a carriage return", answer: header("X: a\rTransfer-Encoding: chunked")},
		{name: "a DEL in a value", answer: header("X: a\x7fb")},
		{name: "an escape in a value", answer: header("X: a\x1bb")},
		{name: "Latin-1 in a value", answer: header("X: \xfc")},
		{name: "UTF-8 in a value", answer: header("X: ü")},
		{name: "UTF-8 in a name", answer: header("Xü: a")},
		{name: "a parenthesis in a name", answer: header("X(: a")},
		{name: "an empty value", answer: header("X:")},
		{name: "blanks around a value", answer: header("X: \t a \t ")},
		{name: "names in odd case", answer: header("x-rEQUEST-iD: a\r\nX-REQUEST-ID: b")},
		{name: "a name of every mark", answer: header("!#$%&'*+-.^_`|~9: a")},
		{name: "a hundred of the same header", answer: header(strings.TrimSuffix(strings.Repeat("Set-Cookie: a=b\r\n", 100), "\r\n"))},
		{name: "a thousand headers", answer: header(numbered(1000))},
		{name: "a value of 100 KB", answer: header("X: " + strings.Repeat("a", 100<<10))},
		{name: "a value of 300 KB", answer: header("X: " + strings.Repeat("a", 300<<10))},
		{name: "a name of 100 KB", answer: header(strings.Repeat("a", 100<<10) + ": b")},
		{name: "bare line feeds", answer: strings.ReplaceAll(ok, "\r\n", "\n")},
		{name: "line feeds here and there", answer: "HTTP/1.1 200 OK\nX: a\r\nContent-Length: 2\n\r\nok"},
		{name: "two carriage returns", answer: "HTTP/1.1 200 OK\r\r\nContent-Length: 2\r\n\r\nok"},
		{name: "a head that ends with the connection", answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"},
		{name: "a head that ends in a name", answer: "HTTP/1.1 200 OK\r\nConte"},
		{name: "endless headers", write: forever("HTTP/1.1 200 OK\r\n", "X: "+strings.Repeat("a", 1000)+"\r\n")},
		{name: "an endless value", write: forever("HTTP/1.1 200 OK\r\nX: ", strings.Repeat("a", 1000))},
		{name: "an endless reason", write: forever("HTTP/1.1 200 ", strings.Repeat("a", 1000))},

		{name: "no length", answer: "HTTP/1.1 200 OK\r\n\r\nok"},
		{name: "length 0", answer: length(" 0") + "ok"},
		{name: "the same length twice", answer: header("Content-Length: 2"), keep: true},
		{name: "two lengths", answer: header("Content-Length: 1")},
		{name: "a list of lengths", answer: length(" 2, 2")},
		{name: "a signed length", answer: length(" +2")},
		{name: "a negative length", answer: length(" -2")},
		{name: "a length in hex", answer: length(" 0x2")},
		{name: "a length with a point", answer: length(" 2.0")},
		{name: "a length in words", answer: length(" two")},
		{name: "an empty length", answer: length("")},
		{name: "a length with leading zeros", answer: length(" 0002"), keep: true},
		{name: "a length with blanks", answer: length("\t 2 \t"), keep: true},
		{name: "a length of 20 digits", answer: length(" 99999999999999999999")},
		{name: "a length of 2^63", answer: length(" 9223372036854775808")},
		{name: "a length of 19 digits", answer: length(" 9223372036854775807"), differs: strict},
		{name: "a length longer than the body", answer: length(" 3")},
		{name: "a length shorter than the body", answer: length(" 1"), keep: true},
		{name: "a length and Connection: close", answer: header("Connection: close"), keep: true},
		{name: "a second answer behind the first", answer: ok + ok, keep: true},

		{name: "chunks", answer: chunks("2\r\nok\r\n" + lastChunk), keep: true},
		{name: "chunks in capitals", answer: encoding("TRANSFER-ENCODING: CHUNKED", "2\r\nok\r\n"+lastChunk), keep: true},
		{name: "chunked twice", answer: encoding("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "2\r\nok\r\n"+lastChunk)},
		{name: "a list of chunked", answer: encoding("Transfer-Encoding: chunked, chunked", "2\r\nok\r\n"+lastChunk)},
		{name: "gzip, then chunked", answer: encoding("Transfer-Encoding: gzip, chunked", "2\r\nok\r\n"+lastChunk)},
		{name: "identity", answer: encoding("Transfer-Encoding: identity", "ok")},
		{name: "xchunked", answer: encoding("Transfer-Encoding: xchunked", "2\r\nok\r\n"+lastChunk)},
		{name: "chunked behind a vertical tab", answer: encoding("Transfer-Encoding: \x0bchunked", "2\r\nok\r\n"+lastChunk)},
		{name: "an empty transfer encoding", answer: encoding("Transfer-Encoding:", "ok")},
		{name: "chunks and a length", answer: encoding("Transfer-Encoding: chunked\r\nContent-Length: 9", "2\r\nok\r\n"+lastChunk), keep: true},
		{name: "a length and chunks", answer: encoding("Content-Length: 3\r\nTransfer-Encoding: chunked", "2\r\nok\r\n"+lastChunk), keep: true},
		{name: "a broken length and chunks", answer: encoding("Content-Length: x\r\nTransfer-Encoding: chunked", "2\r\nok\r\n"+lastChunk)},
		{name: "chunks over HTTP/1.0", answer: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" + lastChunk, differs: strict},

		{name: "an extension", answer: chunks("2;a=b\r\nok\r\n0;c\r\n\r\n"), keep: true},
		{name: "a quoted extension", answer: chunks("2;a=\"b;c\"\r\nok\r\n" + lastChunk), keep: true},
		{name: "an extension with a line feed in quotes", answer: chunks("2;a=\"\n\"\r\nok\r\n" + lastChunk)},
		{name: "a size in capitals", answer: chunks("A\r\n0123456789\r\n" + lastChunk), keep: true},
		{name: "a size with leading zeros", answer: chunks("0002\r\nok\r\n" + lastChunk), keep: true},
		{name: "a size with many leading zeros", answer: chunks(strings.Repeat("0", 20) + "2\r\nok\r\n" + lastChunk)},
		{name: "a size with a prefix", answer: chunks("0x2\r\nok\r\n" + lastChunk)},
		{name: "a negative size", answer: chunks("-2\r\nok\r\n" + lastChunk)},
		{name: "a signed size", answer: chunks("+2\r\nok\r\n" + lastChunk)},
		{name: "no size", answer: chunks("\r\nok\r\n" + lastChunk)},
		{name: "a size that is no number", answer: chunks("zz\r\nok\r\n" + lastChunk)},
		{name: "a size beyond all numbers", answer: chunks("fffffffffffffffff\r\nok\r\n" + lastChunk)},
		{name: "the largest size", answer: chunks("ffffffffffffffff\r\nok")},
		{name: "a blank before the size", answer: chunks(" 2\r\nok\r\n" + lastChunk)},
		{name: "a blank behind the size", answer: chunks("2 \r\nok\r\n" + lastChunk), keep: true},
		{name: "a line feed behind the size", answer: chunks("2\nok\r\n" + lastChunk)},
		{name: "a line feed behind the data", answer: chunks("2\r\nok\n" + lastChunk)},
		{name: "nothing behind the data", answer: chunks("2\r\nok" + lastChunk)},
		{name: "more data than the size", answer: chunks("2\r\nokay\r\n" + lastChunk)},
		{name: "an endless size", write: forever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "00000000")},
		{name: "an endless extension", write: forever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;", "aaaaaaaa")},
		{name: "extensions without end", write: forever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1;"+strings.Repeat("a", 3000)+"\r\nx\r\n")},
		{name: "many chunks of one byte", answer: chunks(strings.Repeat("1\r\nx\r\n", 5000) + lastChunk), keep: true},
		{name: "a cut in the size", answer: chunks("2")},
		{name: "a cut behind the size", answer: chunks("2\r\n")},
		{name: "a cut in the data", answer: chunks("5\r\nok")},
		{name: "a cut behind the data", answer: chunks("2\r\nok")},
		{name: "a cut before the last chunk", answer: chunks("2\r\nok\r\n")},
		{name: "a cut in the last chunk", answer: chunks("2\r\nok\r\n0")},
		{name: "a cut behind the last chunk", answer: chunks("2\r\nok\r\n0\r\n")},
		{name: "a trailer", answer: chunks("2\r\nok\r\n0\r\nX: y\r\n\r\n"), keep: true},
		{name: "an announced trailer", answer: encoding("Transfer-Encoding: chunked\r\nTrailer: X", "2\r\nok\r\n0\r\nX: y\r\n\r\n"), keep: true},
		{name: "a trailer that sets a length", answer: chunks("2\r\nok\r\n0\r\nContent-Length: 9\r\n\r\n"), keep: true},
		{name: "a trailer that is no header", answer: chunks("2\r\nok\r\n0\r\nHTTP/1.1 200 OK\r\n\r\n")},
		{name: "a trailer of one letter", answer: chunks("2\r\nok\r\n0\r\nX\n\r\n")},
		{name: "a folded trailer", answer: chunks("2\r\nok\r\n0\r\nX: y\r\n z\r\n\r\n"), differs: strict},
		{name: "a cut in the trailer", answer: chunks("2\r\nok\r\n0\r\nX: y\r\n")},
		{name: "trailers without end", write: forever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", "X: y\r\n")},
		{name: "an endless trailer", write: forever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: ", "yyyyyyyy")},
		{name: "bytes behind the last chunk", answer: chunks("2\r\nok\r\n" + lastChunk + "HTTP/1.1 200 OK\r\n\r\n"), keep: true},

		{name: "204", answer: "HTTP/1.1 204 No Content\r\n\r\n", keep: true},
		{name: "204 with a body", answer: status("HTTP/1.1 204 No Content"), keep: true},
		{name: "204 with chunks", answer: "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" + lastChunk, keep: true},
		{name: "304 with a body", answer: status("HTTP/1.1 304 Not Modified"), keep: true},
		{name: "HEAD", method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", keep: true},
		{name: "HEAD with a body", method: "HEAD", answer: ok, keep: true},
		{name: "HEAD with chunks", method: "HEAD", answer: encoding("Transfer-Encoding: chunked", ""), keep: true},
		{name: "100 first", answer: "HTTP/1.1 100 Continue\r\n\r\n" + ok, keep: true},
		{name: "103 first, with headers", answer: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ok, keep: true},
		{name: "102 three times", answer: strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 3) + ok, keep: true},
		{name: "100 with a length", answer: "HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\n" + ok, keep: true},
		{name: "100 alone", answer: "HTTP/1.1 100 Continue\r\n\r\n"},
		{name: "101", answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", differs: strict},
		{name: "interim answers without end", write: forever("", "HTTP/1.1 102 Processing\r\n\r\n")},
		{name: "a redirect", answer: "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", keep: true},
		{name: "gzip that was not asked for", answer: fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(gzipped("hello")), gzipped("hello")), keep: true},
		{name: "an answer byte by byte", write: drip(chunks("2\r\nok\r\n"+lastChunk), 200*time.Microsecond), keep: true},
		{name: "interim answers byte by byte", write: drip("HTTP/1.1 103 Early Hints\r\n\r\n"+ok, 200*time.Microsecond), keep: true},
		{name: "a head byte by byte, then a cut", write: drip("HTTP/1.1 200 OK\r\nContent-Le", 200*time.Microsecond)},
		{name: "a body of 1 MB", answer: fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", 1<<20, strings.Repeat("x", 1<<20)), keep: true},
		{name: "a chunk of 1 MB", answer: chunks("100000\r\n" + strings.Repeat("x", 1<<20) + "\r\n" + lastChunk), keep: true},
	}
	for i := range list {
		if list[i].method == "" {
			list[i].method = "POST"
		}
		if list[i].write == nil {
			text := list[i].answer
			list[i].write = func(c net.Conn) { io.WriteString(c, text) }
		}
	}
	return list
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "X-%d: %d\r\n", i, i)
	}
	return strings.TrimSuffix(b.String(), "\r\n")
}
