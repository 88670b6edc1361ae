package config

import (
	"sort"
	"unicode/utf8"

	"github.com/llmgw/llmgw/internal/finding"
)

// lineIndex turns byte offsets of one file into lines and columns. Lines end at
// \n, \r\n or a lone \r, as editors count them; columns count characters.
type lineIndex struct {
	file   string
	data   []byte
	starts []int
	ascii  bool
	runes  []int // runes before every stride bytes, when not ascii
}

// stride keeps the cost of a column small in a file that is one huge line.
const stride = 1024

func newLineIndex(file string, data []byte) *lineIndex {
	x := &lineIndex{file: file, data: data, starts: make([]int, 1, 1+len(data)/24), ascii: true}
	if len(data) >= 3 && data[0] == 0xEF && data[1] == 0xBB && data[2] == 0xBF {
		x.starts[0] = 3 // a byte order mark has no column
	}
	for i, c := range data {
		switch {
		case c == '\n':
			x.starts = append(x.starts, i+1)
		case c == '\r' && (i+1 == len(data) || data[i+1] != '\n'):
			x.starts = append(x.starts, i+1)
		case c >= utf8.RuneSelf:
			x.ascii = false
		}
	}
	if !x.ascii {
		count := 0
		for i, c := range data {
			if i%stride == 0 {
				x.runes = append(x.runes, count)
			}
			if utf8.RuneStart(c) {
				count++
			}
		}
		x.runes = append(x.runes, count)
	}
	return x
}

// pos is the position of the bytes [offset, end).
func (x *lineIndex) pos(offset, end int) finding.Position {
	offset = min(offset, len(x.data))
	line := sort.SearchInts(x.starts, offset+1) - 1
	if line < 0 {
		line = 0
	}
	start := min(x.starts[line], offset)
	col := offset - start
	if !x.ascii {
		col = x.runesIn(start, offset)
	}
	return finding.Position{File: x.file, Line: line + 1, Col: col + 1, Offset: offset, End: end}
}

func (x *lineIndex) runesIn(from, to int) int {
	if to-from <= 2*stride {
		return utf8.RuneCount(x.data[from:to])
	}
	return x.runesBefore(to) - x.runesBefore(from)
}

func (x *lineIndex) runesBefore(offset int) int {
	k := offset / stride
	n := x.runes[k]
	for i := k * stride; i < offset; i++ {
		if utf8.RuneStart(x.data[i]) {
			n++
		}
	}
	return n
}

// line returns the text of the line with the given 1-based number, without its
// line break.
func (x *lineIndex) line(n int) string {
	if n < 1 || n > len(x.starts) {
		return ""
	}
	end := len(x.data)
	if n < len(x.starts) {
		end = x.starts[n]
	}
	text := x.data[x.starts[n-1]:end]
	for len(text) > 0 && (text[len(text)-1] == '\n' || text[len(text)-1] == '\r') {
		text = text[:len(text)-1]
	}
	return string(text)
}
