package live

import (
	"bufio"
	"errors"
	"io"
	"regexp"
)

// Log is what was found in one log.
type Log struct {
	Name  string         `json:"name"`
	Lines int            `json:"lines"`
	First map[string]int `json:"first"` // the first line that shows a rule's condition
	Count map[string]int `json:"count"`
	Seen  map[string]string
}

// signs are what the lines of a log may show. The words are the programs' own.
var signs = []struct {
	id, what string
	re       *regexp.Regexp
}{
	{"RUN007", "a DEBUG line of the gateway", regexp.MustCompile(`(?i)\b(LiteLLM( Proxy| Router)?|proxy_server|litellm[a-z_.]*) ?:? ?DEBUG\b|^\s*DEBUG:|"level": ?"DEBUG"`)},
	{"RUN007", "the dump of a raw request", regexp.MustCompile(`POST Request Sent from LiteLLM|Request to litellm:|RAW RESPONSE:`)},
	{"RUN030", "Permission denied", regexp.MustCompile(`Permission denied|PermissionError`)},
	{"RUN030", "Read-only file system", regexp.MustCompile(`Read-only file system`)},
	{"RUN032", "P2024, no connection in the pool", regexp.MustCompile(`\bP2024\b|Timed out fetching a new connection from the connection pool`)},
	{"RUN032", "too many clients already", regexp.MustCompile(`too many clients already`)},
}

// maxLine bounds what is kept of one line; a log may hold whole prompts.
const maxLine = 64 << 10

// ReadLog looks through a log. Its lines are never kept.
func ReadLog(name string, r io.Reader) (Log, error) {
	l := Log{Name: name, First: map[string]int{}, Count: map[string]int{}, Seen: map[string]string{}}
	b := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := b.ReadSlice('\n')
		if len(line) > 0 {
			l.Lines++
			for _, s := range signs {
				if s.re.Match(line) {
					if l.Count[s.id]++; l.Count[s.id] == 1 {
						l.First[s.id], l.Seen[s.id] = l.Lines, s.what
					}
				}
			}
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = b.ReadSlice('\n') // the rest of a long line
		}
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err != nil {
			return l, err
		}
	}
}
