package upstream

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// closeUpload tells the owner of a body that is sent as it comes that it is not
// read any more.
func closeUpload(r *call.Request) {
	if r.Upload != nil {
		r.Upload.Close()
	}
}

// A piece of a body is read before it is sent. It has room for the size of its
// chunk in front, and for the end of its line behind.
const (
	pieceSize  = 32 << 10
	pieceFront = 8
	pieceTail  = 2
)

var uploadPieces = sync.Pool{New: func() any { return new([pieceFront + pieceSize + pieceTail]byte) }}

var errUploadLength = errors.New("the body of the request has another length than was announced")

// upload sends a body as it comes. When it cannot be had to its end the connection
// is closed: the upstream must not take what it has got for the whole. When it
// cannot be sent, the upstream may have said why.
func (c *conn) upload(r *call.Request) error {
	p := uploadPieces.Get().(*[pieceFront + pieceSize + pieceTail]byte)
	defer uploadPieces.Put(p)
	for left := r.Length; ; {
		n, end := r.Upload.Read(p[pieceFront : pieceFront+pieceSize])
		if r.Length >= 0 {
			if left -= int64(n); left < 0 || errors.Is(end, io.EOF) && left > 0 {
				c.Close()
				return errUploadLength
			}
		}
		if n > 0 {
			if _, err := c.Write(piece(p[:], n, r.Length < 0)); err != nil {
				return fmt.Errorf("send the request: %w", err)
			}
		}
		switch {
		case errors.Is(end, io.EOF) && r.Length < 0:
			if _, err := c.Write([]byte("0\r\n\r\n")); err != nil {
				return fmt.Errorf("send the request: %w", err)
			}
			return nil
		case errors.Is(end, io.EOF):
			return nil
		case end != nil:
			c.Close()
			return end
		}
	}
}

// piece frames n bytes of p that begin at pieceFront.
func piece(p []byte, n int, chunked bool) []byte {
	if !chunked {
		return p[pieceFront : pieceFront+n]
	}
	var size [pieceFront]byte
	text := append(strconv.AppendInt(size[:0], int64(n), 16), "\r\n"...)
	from := pieceFront - len(text)
	copy(p[from:], text)
	copy(p[pieceFront+n:], "\r\n")
	return p[from : pieceFront+n+pieceTail]
}
