package config

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestHostileTextsCostLittle feeds texts that are built to be expensive. The
// bounds are far above what they take, so that only a change of complexity
// trips them.
func TestHostileTextsCostLittle(t *testing.T) {
	const mib = 1 << 16 // a sixteenth, to keep the gate quick; complexity shows all the same
	rep := strings.Repeat
	for _, c := range []struct{ name, yaml string }{
		{"open brackets", rep("[", 8*mib)},
		{"flow items", "[" + rep("a,", 700_000) + "]"},
		{"flow mappings", "[" + rep("{a: b},", mib) + "]"},
		{"list items", rep("- a\n", 2*mib)},
		{"dashes", rep("-\n", 2*mib)},
		{"keys without values", rep("a:\n", 2*mib)},
		{"one key again and again", rep("a: 1\n", mib)},
		{"blank lines", "a: b" + rep("\n", 8*mib) + "  c\n"},
		{"blank lines in quotes", "a: 'b" + rep("\n", 8*mib) + "c'\n"},
		{"blank lines in a block", "a: |\n  b" + rep("\n", 8*mib) + "  c\n"},
		{"a word over many lines", "a:\n" + rep("  b\n", 2*mib)},
		{"a long line with umlauts", "a: [" + rep("ä, ", 100_000) + "]"},
		{"a long line of tabs", "a: [" + rep("\t", 8*mib) + "]"},
		{"escapes", `a: "` + rep(`\u00e4`, mib) + `"`},
		{"a number of many digits", "a: " + rep("1", 8*mib)},
		{"a base-60 number of many parts", "a: 1" + rep(":1", 4*mib)},
		{"a number of underscores", "a: 1" + rep("_", 8*mib)},
		{"a date of blanks", "a: 2024-01-01" + rep(" ", 8*mib) + "10:00:00"},
		{"anchors", rep("- &a b\n", mib)},
		{"aliases", "- &a b\n" + rep("- *a\n", mib)},
		{"aliases of a mapping", "- &a {k: v}\n" + rep("- *a\n", 255_000)},
		{"merges", "b: &b {k: v, l: w, m: x, n: y}\nc:\n" + rep(" - <<: *b\n", 70_000)},
		{"merges of lists", "b: &b {k: v}\nl: &l [" + rep("*b,", 100_000) + "*b]\nc: {<<: *l}\nd: {<<: *l}\n"},
		{"comments", rep("# c\n", 4*mib) + "a: b\n"},
		{"documents", rep("--- a\n", mib)},
		{"a template", rep("a: {{ x }}\n", mib)},
		{"question marks", rep("? ", 4*mib)},
		{"colons", rep(": ", 4*mib)},
		{"deep keys", deepKeys(3000)},
		{"includes of itself", "include: [" + rep("a,", 100_000) + "a]\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			tree, findings, err := Load(Sources{Data: []byte(c.yaml), File: "c", Env: environ(), ReadFile: files{}.read})
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
			t.Logf("%d KiB: %v, %d MiB allocated, %d findings, %v", len(c.yaml)>>10, took.Round(time.Millisecond), allocated, len(findings), err)
			if took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			if allocated > 1000 {
				t.Errorf("%d MiB allocated", allocated)
			}
			if len(findings) > 2000 {
				t.Errorf("%d findings", len(findings))
			}
			_ = tree
		})
	}
}

func deepKeys(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}
