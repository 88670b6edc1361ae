package manifest

import (
	"math"
	"strconv"
	"strings"
)

var suffixes = []struct {
	text   string
	factor float64
}{
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40}, {"Pi", 1 << 50}, {"Ei", 1 << 60},
	{"n", 1e-9}, {"u", 1e-6}, {"m", 1e-3}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"P", 1e15}, {"E", 1e18},
}

// ParseQuantity reads a Kubernetes quantity: 500m, 1, 2.5Gi, 1e3, 512M.
func ParseQuantity(text string) (float64, bool) {
	text = strings.TrimSpace(text)
	number, factor := text, 1.0
	for _, s := range suffixes {
		if rest, ok := strings.CutSuffix(text, s.text); ok {
			number, factor = rest, s.factor
			break
		}
	}
	if number == "" || strings.ContainsAny(number, "xXpP_ ") || strings.ContainsAny(number, "iInNfF") {
		return 0, false
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v < 0 || math.IsInf(v*factor, 0) {
		return 0, false
	}
	return v * factor, true
}
