package proxy

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestReadOnlyMappingsOfTheProgramAreFound(t *testing.T) {
	maps := `00400000-01000000 r-xp 00000000 fe:00 12 /usr/bin/llm gw
01000000-02000000 r--p 00c00000 fe:00 12 /usr/bin/llm gw
02000000-02100000 rw-p 01c00000 fe:00 12 /usr/bin/llm gw
02100000-02200000 rw-p 00000000 00:00 0
7f0000000000-7f0000001000 r-xp 00000000 fe:00 13 /lib/x.so
7ffc00000000-7ffc00001000 r-xp 00000000 00:00 0 [vdso]
`
	got := programRanges(maps, "/usr/bin/llm gw")
	if want := [][2]uintptr{{0x400000, 0x1000000}, {0x1000000, 0x2000000}}; !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

func TestTheProgramRunsOnAfterSettling(t *testing.T) {
	before := fileRSS(t)
	SettleMemory()
	if after := fileRSS(t); after >= before {
		t.Errorf("%d kB of the program in memory before, %d after", before, after)
	}
	_, url := gateway(t, Config{})
	if resp, body := post(t, url+"/health/liveliness", ""); resp.StatusCode != 405 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func fileRSS(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "RssFile:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if !ok || err != nil {
		t.Fatal(err)
	}
	return n
}
