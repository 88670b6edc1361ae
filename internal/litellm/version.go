package litellm

import (
	"cmp"
	"strconv"
	"strings"
)

// Version is a LiteLLM release number as its packages and images write it:
// 1.84.0, v1.84.0rc2, 1.83.7.post1, main-v1.80.0-stable, 1.77.3-stable.patch.1.
type Version struct {
	Release [3]int
	Pre     int // negative for pre-releases (dev < a < b < rc), 0 for the release itself
	PreNum  int
	Post    int
}

// ParseVersion reads a release number; it answers false for tags that name no
// release ("latest", "main-stable", a digest).
func ParseVersion(text string) (Version, bool) {
	s := strings.ToLower(strings.TrimSpace(text))
	for _, lead := range []string{"litellm_stable_release_branch-", "main-", "v"} {
		s = strings.TrimPrefix(s, lead)
	}
	var v Version
	for i := range v.Release {
		n, rest, ok := leadingInt(s)
		if !ok {
			return Version{}, false
		}
		v.Release[i], s = n, rest
		if i < 2 {
			if !strings.HasPrefix(s, ".") {
				return Version{}, false
			}
			s = s[1:]
		}
	}
	for s != "" {
		s = strings.TrimLeft(s, ".-_+")
		word := s[:len(s)-len(strings.TrimLeft(s, "abcdefghijklmnopqrstuvwxyz"))]
		s = s[len(word):]
		n, rest, ok := leadingInt(strings.TrimLeft(s, ".-_"))
		if ok {
			s = rest
		} else if word == "" {
			break // a trailing mark we do not know, such as a digest
		}
		switch word {
		case "dev", "nightly":
			v.Pre, v.PreNum = -4, n
		case "a", "alpha":
			v.Pre, v.PreNum = -3, n
		case "b", "beta":
			v.Pre, v.PreNum = -2, n
		case "rc":
			v.Pre, v.PreNum = -1, n
		case "post", "patch":
			v.Post = n
		}
	}
	return v, true
}

// Compare orders versions as pip does: pre-releases before the release, post
// releases after it.
func (v Version) Compare(o Version) int {
	for i := range v.Release {
		if c := cmp.Compare(v.Release[i], o.Release[i]); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(v.Pre, o.Pre), cmp.Compare(v.PreNum, o.PreNum), cmp.Compare(v.Post, o.Post))
}

// String is the plain release number.
func (v Version) String() string {
	s := strconv.Itoa(v.Release[0]) + "." + strconv.Itoa(v.Release[1]) + "." + strconv.Itoa(v.Release[2])
	if v.Pre < 0 {
		s += map[int]string{-4: ".dev", -3: "a", -2: "b", -1: "rc"}[v.Pre] + strconv.Itoa(v.PreNum)
	}
	if v.Post > 0 {
		s += ".post" + strconv.Itoa(v.Post)
	}
	return s
}

func leadingInt(s string) (n int, rest string, ok bool) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' && i < 9 {
		i++
	}
	if i == 0 {
		return 0, s, false
	}
	n, err := strconv.Atoi(s[:i])
	return n, s[i:], err == nil
}
