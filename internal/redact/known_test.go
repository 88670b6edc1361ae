package redact

import (
	"fmt"
	"strings"
	"testing"
)

func TestKnownSecretsAreMaskedAlsoThoseOfBefore(t *testing.T) {
	k := NewKnown(New("planted-one"), New("planted-one-longer"), New("abc"), New(""))
	for _, tt := range []struct{ in, want string }{
		{"x planted-one y", "x *** y"}, {"planted-one-longer", "***"}, {"planted-one-long", "***-long"},
		{"planted-oneplanted-one", "******"}, {"abc is too short", "abc is too short"}, {"", ""}, {"plan", "plan"}, {"other own-secret", "other ***"},
		{"Bearer abcdef123456", "Bearer ***"}, {"ünplanted-oneü", "ün***ü"},
	} {
		if got := k.Text(tt.in, New("own-secret")); got != tt.want {
			t.Errorf("%q became %q, want %q", tt.in, got, tt.want)
		}
	}
	k.Replace([]Secret{New("planted-two")})
	if got := k.Text("planted-one planted-two"); got != "*** ***" {
		t.Errorf("after a change %q", got)
	}
	var none *Known
	if got := none.Text("planted-one sk-12345678"); got != "planted-one sk-***" {
		t.Errorf("without secrets %q", got)
	}
}

func TestSecretsOfBeforeAreBounded(t *testing.T) {
	k := NewKnown()
	for i := range 5 {
		var list []Secret
		for j := range 10_000 {
			list = append(list, New(fmt.Sprintf("secret-%d-%05d", i, j)))
		}
		k.Replace(list)
	}
	if len(k.old) != maxOld || k.Text("secret-4-00001 secret-2-00001 secret-0-00001") != "*** *** secret-0-00001" {
		t.Errorf("%d of before are kept: %s", len(k.old), k.Text("secret-4-00001 secret-2-00001 secret-0-00001"))
	}
}

// Whatever stands around it, a secret is not shown.
func FuzzKnown(f *testing.F) {
	f.Add("a planted-one b", "planted-one", "planted")
	f.Add("aaaaaaaa", "aaaa", "aaab")
	f.Fuzz(func(t *testing.T, text, one, other string) {
		k := NewKnown(New(one), New(other))
		got := k.mask(text)
		if len(one) < shortest || strings.Contains(one, "*") {
			return
		}
		if strings.Contains(got, one) {
			t.Errorf("%q with %q became %q", text, one, got)
		}
		if !strings.Contains(text, one) && (len(other) < shortest || !strings.Contains(text, other)) && got != text {
			t.Errorf("%q became %q", text, got)
		}
	})
}

// BenchmarkKnown masks a sentence in a gateway of 10,000 keys.
func BenchmarkKnown(b *testing.B) {
	var list []Secret
	for i := range 10_000 {
		list = append(list, New(fmt.Sprintf("sk-%08x-secret", i*7919)))
	}
	text := strings.Repeat("The model is overloaded, try again later. ", 10)
	b.Run("known", func(b *testing.B) {
		k := NewKnown(list...)
		b.ReportAllocs()
		for b.Loop() {
			k.Text(text)
		}
	})
	b.Run("one by one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Text(text, list...)
		}
	})
}
