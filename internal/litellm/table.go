package litellm

import (
	"fmt"
	"strconv"
	"strings"
)

// row is one line of an embedded table: tab-separated cells under the names of
// the header line. Tables are written by us and covered by tests, so a broken
// one is a programming error and panics with the file and line.
type row struct {
	file  string
	line  int
	cols  map[string]int
	cells []string
}

func (r row) fail(format string, args ...any) {
	panic(fmt.Sprintf("litellm: data/%s:%d: %s", r.file, r.line, fmt.Sprintf(format, args...)))
}

// str returns a cell; "-" stands for an empty one where a blank would be
// easy to overlook.
func (r row) str(col string) string {
	i, ok := r.cols[col]
	if !ok {
		r.fail("there is no column %q", col)
	}
	if v := r.cells[i]; v != "-" {
		return v
	}
	return ""
}

func (r row) num(col string) int {
	n, err := strconv.Atoi(r.str(col))
	if err != nil {
		r.fail("column %s: %v", col, err)
	}
	return n
}

// list splits a cell at blanks.
func (r row) list(col string) []string { return strings.Fields(r.str(col)) }

// table calls visit for each row of text. Lines that begin with "#" and blank
// lines are skipped; the first other line names the columns.
func table(file, text string, visit func(row)) {
	var cols map[string]int
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		cells := strings.Split(line, "\t")
		r := row{file: file, line: n, cols: cols, cells: cells}
		if cols == nil {
			cols = make(map[string]int, len(cells))
			for i, c := range cells {
				cols[c] = i
			}
			continue
		}
		if len(cells) != len(cols) {
			r.fail("%d cells under %d columns", len(cells), len(cols))
		}
		visit(r)
	}
}
