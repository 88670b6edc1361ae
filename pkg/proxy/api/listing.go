package api

import (
	"net/http"
	"slices"
)

// listing writes an answer that grows with the number of deployments, a part at
// a time: that of ten thousand is ten megabytes. An answer that fits into one
// part says how long it is.
type listing struct {
	w    http.ResponseWriter
	b    []byte
	sent bool
	gone error
}

const (
	listingPart = 64 << 10
	// listingRoom is what one entry takes, most of the time.
	listingRoom = 2 << 10
)

func newListing(w http.ResponseWriter, begin string) *listing {
	return &listing{w: w, b: append(make([]byte, 0, 4<<10), begin...)}
}

// entry makes room for another entry of a list, behind a comma if one is needed.
// It returns false when nobody listens any more.
func (l *listing) entry() bool {
	if len(l.b) >= listingPart-listingRoom {
		l.send()
	}
	if n := len(l.b); n == 0 || l.b[n-1] != '[' {
		l.b = append(l.b, ',')
	}
	return l.gone == nil
}

func (l *listing) send() {
	if !l.sent {
		l.w.Header()["Content-Type"] = jsonType
		l.w.WriteHeader(http.StatusOK)
		l.sent = true
	}
	if l.gone == nil {
		_, l.gone = l.w.Write(l.b)
	}
	if cap(l.b) > 2*listingPart {
		l.b = make([]byte, 0, listingPart)
	}
	l.b = slices.Grow(l.b[:0], listingPart)
}

func (l *listing) end(text string) int {
	l.b = append(l.b, text...)
	if !l.sent {
		writeJSON(l.w, http.StatusOK, l.b)
	} else if l.gone == nil {
		_, _ = l.w.Write(l.b) // the client is gone: nothing is left to tell it
	}
	return http.StatusOK
}
