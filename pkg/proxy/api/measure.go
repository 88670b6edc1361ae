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
		u.ImageQuality, u.ImageSize = c.imageKind()
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

// imageKind is the quality and the size that images were asked for in.
func (c *chat) imageKind() (quality, size string) {
	note := func(name, value string) {
		switch {
		case len(value) > 16: // no quality or size is longer
		case name == "quality":
			quality = value
		case name == "size":
			size = value
		}
	}
	if c.media != nil {
		for i := range c.media.parts {
			if _, params, err := mime.ParseMediaType(c.media.parts[i].header.Get("Content-Disposition")); err == nil {
				note(params["name"], string(c.media.parts[i].data[:min(len(c.media.parts[i].data), 17)]))
			}
		}
		return quality, size
	}
	c.request.Each(func(_ splice.Member, name, value []byte) {
		if len(value) > 1 && value[0] == '"' {
			note(string(name), string(value[1:len(value)-1]))
		}
	})
	return quality, size
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
