package mock

import (
	"math/rand/v2"
	"strings"
	"unicode/utf8"
)

var (
	plainWords = strings.Fields(`the gate stands where two roads meet and each traveller who comes by night asks the
		same question in other words so the keeper answers slowly with care counting lamps along the wall until morning`)
	wideWords = strings.Fields(`straße élan 東京 машина 🙂 naïve ελπίδα 한국어 👩‍🚀 “quoted” œuvre 𝒳 日本語 Ærø ¿qué? 🏳️‍🌈`)
)

// makeText prepares the text of the chunks. The same options always give the
// same text.
func makeText(opt Options) []string {
	if opt.Text != "" {
		return splitText(opt.Text, opt.Chunks)
	}
	words := plainWords
	if opt.UTF8 {
		words = wideWords
	}
	rng := newRand(opt.Seed, 0)
	out := make([]string, opt.Chunks)
	for i := range out {
		var b strings.Builder
		for b.Len() == 0 || b.Len() < opt.ChunkBytes {
			if i > 0 || b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(words[rng.IntN(len(words))])
		}
		out[i] = b.String()
		if opt.ChunkBytes > 0 {
			out[i] = cutRunes(out[i], opt.ChunkBytes)
		}
	}
	return out
}

// cutRunes shortens s to at most n bytes without cutting a character; a first
// character longer than n stays whole.
func cutRunes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	if n == 0 {
		_, n = utf8.DecodeRuneInString(s)
	}
	return s[:n]
}

// splitText cuts text into n pieces of about equal length at character borders.
// A short text leaves the last pieces empty, so the number of events holds.
func splitText(text string, n int) []string {
	out := make([]string, n)
	for i := range out {
		size := (len(text) + n - i - 1) / (n - i)
		if size == 0 {
			continue
		}
		piece := cutRunes(text, size)
		out[i], text = piece, text[len(piece):]
	}
	out[n-1] += text
	return out
}

// newRand gives request n its own generator, so that what one request draws
// does not depend on how requests interleave.
func newRand(seed, n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, mix(n))) }

// mix spreads consecutive numbers over 64 bits (the finalizer of splitmix64).
func mix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}
