package litellm

import (
	_ "embed"
	"strings"
)

// implementedTXT lists what this build acts on, one name a line: section.name
// for a key (the bare name at top level), --name for a flag, $NAME for a
// variable.
//
//go:embed data/implemented.txt
var implementedTXT string

// implementedLines calls visit for each listed name.
func implementedLines(visit func(name string)) {
	for line := range strings.Lines(implementedTXT) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			visit(line)
		}
	}
}

func implementedKeys() map[keyID]bool {
	done := map[keyID]bool{}
	implementedLines(func(line string) {
		if line[0] == '$' || line[0] == '-' {
			return
		}
		done[keyOf(line)] = true
	})
	return done
}

// keyOf splits section.name; a bare name is a key of the top level.
func keyOf(path string) keyID {
	if dot := strings.LastIndexByte(path, '.'); dot >= 0 {
		return keyID{path[:dot], path[dot+1:]}
	}
	return keyID{SectionTop, path}
}

// implementedNames gathers the names behind a mark, "--" or "$".
func implementedNames(mark string) map[string]bool {
	done := map[string]bool{}
	implementedLines(func(line string) {
		if name, ok := strings.CutPrefix(line, mark); ok {
			done[name] = true
		}
	})
	return done
}
