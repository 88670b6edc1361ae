package redact

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Known are secrets that the process knows in full, to mask them in text from
// elsewhere. They may be replaced at any time; those of before stay masked, since
// what was begun with them can still fail with them. The nil Known knows none.
type Known struct {
	index   atomic.Pointer[map[[shortest]byte][]string]
	mu      sync.Mutex
	current []string
	old     []string // the last is the youngest
}

// shortest is the length from which on a secret is masked: a shorter one would
// mask parts of ordinary words.
const shortest = 4

// maxOld bounds the secrets of before.
const maxOld = 20_000

// NewKnown knows a list of secrets.
func NewKnown(list ...Secret) *Known {
	k := &Known{}
	k.Replace(list)
	return k
}

// Replace takes a list in the place of the one before.
func (k *Known) Replace(list []Secret) {
	k.mu.Lock()
	defer k.mu.Unlock()
	current := make([]string, 0, len(list))
	for _, s := range list {
		if len(s.text) >= shortest {
			current = append(current, s.text)
		}
	}
	slices.Sort(current)
	current = slices.Compact(current)
	among := func(s string) bool { _, found := slices.BinarySearch(current, s); return found }
	k.old = slices.DeleteFunc(k.old, among)
	for _, s := range k.current {
		if !among(s) {
			k.old = append(k.old, s)
		}
	}
	k.old = slices.Delete(k.old, 0, max(len(k.old)-maxOld, 0))
	k.current = current
	index := make(map[[shortest]byte][]string)
	for _, list := range [][]string{k.current, k.old} {
		for _, s := range list {
			begin := [shortest]byte([]byte(s[:shortest]))
			index[begin] = append(index[begin], s)
		}
	}
	for _, list := range index {
		slices.SortFunc(list, func(a, b string) int { return len(b) - len(a) }) // the longest counts
	}
	k.index.Store(&index)
}

// Text is [Text] with these secrets, and others.
func (k *Known) Text(text string, others ...Secret) string {
	if k == nil {
		return Text(text, others...)
	}
	return Text(k.mask(text), others...)
}

// mask looks at each place of the text once, however many secrets there are.
func (k *Known) mask(text string) string {
	index := *k.index.Load()
	if len(index) == 0 {
		return text
	}
	var b strings.Builder
	done := 0
	for i := 0; i+shortest <= len(text); i++ {
		for _, s := range index[[shortest]byte([]byte(text[i:i+shortest]))] {
			if strings.HasPrefix(text[i:], s) {
				b.WriteString(text[done:i])
				b.WriteString(Mask)
				done = i + len(s)
				i = done - 1
				break
			}
		}
	}
	if done == 0 {
		return text
	}
	b.WriteString(text[done:])
	return b.String()
}
