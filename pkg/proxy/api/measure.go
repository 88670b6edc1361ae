package api

import (
	"bytes"
	"encoding/binary"
	"mime"
	"unicode/utf8"

	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// measure counts what calls use that are not paid by the token. answer is nil
// where it is not JSON.
func (c *chat) measure(answer []byte) {
	u := &c.call.Usage
	found := false
	switch c.x.route.kind.op {
	case wire.Images, wire.ImageEdits, wire.ImageVariations:
		found = splice.Measure(answer, u)
		u.Seconds, u.Queries = 0, 0
	case wire.Speech:
		text, ok := c.request.Text(splice.Input)
		u.Characters, found = int64(utf8.RuneCount(text)), ok
	case wire.Transcriptions, wire.Translations:
		found = splice.Measure(answer, u)
		u.Images, u.Queries = 0, 0
		if u.Seconds == 0 && c.media != nil {
			u.Seconds = c.media.seconds()
			found = found || u.Seconds > 0
		}
	case wire.Rerank:
		_ = splice.Measure(answer, u)
		u.Images, u.Seconds = 0, 0
		// As Cohere counts: a call is one search unit unless it says otherwise.
		u.Queries, found = max(u.Queries, 1), true
	}
	u.Known, c.measured = u.Known || found, found
}

// seconds is how long the sound of a form's file is, 0 where that cannot be seen
// without decoding it.
func (m *media) seconds() float64 {
	for i := range m.parts {
		_, params, err := mime.ParseMediaType(m.parts[i].header.Get("Content-Disposition"))
		if err == nil && params["name"] == "file" {
			return wavSeconds(m.parts[i].data)
		}
	}
	return 0
}

// wavSeconds reads the length of a WAV file from its head.
func wavSeconds(b []byte) float64 {
	if len(b) < 12 || !bytes.Equal(b[:4], []byte("RIFF")) || !bytes.Equal(b[8:12], []byte("WAVE")) {
		return 0
	}
	rate := 0.0
	for at := 12; at+8 <= len(b); {
		size := int(binary.LittleEndian.Uint32(b[at+4:]))
		switch body := b[at+8:]; string(b[at : at+4]) {
		case "fmt ":
			if len(body) < 12 {
				return 0
			}
			rate = float64(binary.LittleEndian.Uint32(body[8:]))
		case "data":
			if rate <= 0 {
				return 0
			}
			return float64(min(size, len(body))) / rate // a stream writes a length that is too long
		}
		at += 8 + size + size&1
	}
	return 0
}
