package migrate

import (
	"strings"
)

// serialDefault stands for the default that SERIAL gives a column.
const serialDefault = "nextval"

// typeWords are the catalogue's names of types that have several.
var typeWords = map[string]string{
	"int": "integer", "int4": "integer", "int2": "smallint", "int8": "bigint", "bool": "boolean",
	"float8": "double precision", "float4": "real", "float": "double precision", "decimal": "numeric", "varchar": "character varying", "char": "character",
	"timestamptz": "timestamp with time zone", "timestamp": "timestamp without time zone", "timetz": "time with time zone", "time": "time without time zone",
	"varbit": "bit varying",
}

// normalType writes a type as format_type does: TIMESTAMP(3) is
// timestamp(3) without time zone.
func normalType(sql string, tokens []token) (typ string, serial bool) {
	var words []string
	modifier, array := "", ""
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		switch {
		case t.kind == tokenWord && t.text == "ARRAY":
			array += "[]"
		case t.kind == tokenWord:
			words = append(words, strings.ToLower(t.text))
		case t.kind == tokenName:
			words = append(words, `"`+t.text+`"`)
		case isPunct(t, "."): // a schema in front
			words = nil
		case isPunct(t, "("):
			for i++; i < len(tokens) && !isPunct(tokens[i], ")"); i++ {
				modifier += strings.TrimSpace(sql[tokens[i].pos:tokens[i].end])
			}
			modifier = "(" + modifier + ")"
		case isPunct(t, "["):
			array += "[]"
			for i < len(tokens) && !isPunct(tokens[i], "]") {
				i++
			}
		}
	}
	typ = strings.Join(words, " ")
	switch typ {
	case "serial", "serial4":
		return "integer", true
	case "bigserial", "serial8":
		return "bigint", true
	case "smallserial", "serial2":
		return "smallint", true
	}
	if w, ok := typeWords[typ]; ok {
		typ = w
	}
	if len(words) == 1 && strings.HasPrefix(typ, `"`) && isPlain(strings.Trim(typ, `"`)) {
		typ = strings.Trim(typ, `"`)
	}
	if modifier != "" {
		// The modifier stands behind the first word of a type of time.
		if head, tail, ok := strings.Cut(typ, " "); ok && (head == "timestamp" || head == "time") {
			typ = head + modifier + " " + tail
		} else {
			typ += modifier
		}
	}
	return typ + array, false
}

// isPlain reports a name that needs no quotes.
func isPlain(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c == '_' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return name != ""
}

// verbatim is an expression as it was written, on one line.
func verbatim(text string) string { return strings.Join(strings.Fields(text), " ") }

// defaultExpr is a default as it was written; a null one is none, and what
// SERIAL makes has a word of its own.
func defaultExpr(text string) string {
	text = verbatim(text)
	switch l := loose(text); {
	case strings.HasPrefix(l, "nextval "):
		return serialDefault
	case l == "null":
		return ""
	}
	return text
}

// loose brings an expression into a form in which the words of a file and those
// of the catalogue agree: without casts and parentheses, words in lower case. It
// is for comparing simple expressions, which defaults and conditions of indexes
// are; two that differ in more are called different.
func loose(text string) string {
	list := scan(text)
	if len(list) != 1 {
		return verbatim(text)
	}
	tokens := list[0].tokens
	var out []string
	end := -1 // of an operator that may go on
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		if isPunct(t, ":") && i+1 < len(tokens) && isPunct(tokens[i+1], ":") {
			i = skipType(tokens, i+2) - 1
			end = -1
			continue
		}
		switch t.kind {
		case tokenWord:
			out = append(out, strings.ToLower(t.text))
		case tokenName:
			out = append(out, quoteWord(t.text))
		case tokenString:
			out = append(out, number(text[t.pos:t.end]))
		case tokenPunct:
			switch {
			case t.text == "(" || t.text == ")":
				continue
			case end == t.pos && len(out) > 0:
				out[len(out)-1] += t.text
			default:
				out = append(out, t.text)
			}
			end = t.end
			continue
		}
		end = -1
	}
	// A sign belongs to its number.
	for i := 0; i+1 < len(out); i++ {
		if out[i] == "-" && (i == 0) {
			out = append([]string{"-" + out[1]}, out[2:]...)
		}
	}
	expr := strings.Join(out, " ")
	if expr == "now" {
		return "current_timestamp"
	}
	return expr
}

// number takes the quotes off a text that is a number: the catalogue writes -1
// as '-1'::integer.
func number(text string) string {
	inner := strings.Trim(text, "'")
	if inner == "" || strings.Trim(inner, "-.0123456789") != "" {
		return text
	}
	return inner
}

// renameIn replaces a column in an expression.
func renameIn(text, from, to string) string {
	var b strings.Builder
	last := 0
	for _, st := range scan(text) {
		for _, t := range st.tokens {
			if t.kind == tokenName && t.text == from || t.kind == tokenWord && strings.ToLower(t.text) == from {
				b.WriteString(text[last:t.pos])
				b.WriteString(quoteWord(to))
				last = t.end
			}
		}
	}
	return b.String() + text[last:]
}

// mentions reports whether an expression names the column.
func mentions(text, column string) bool { return renameIn(text, column, "\x00") != text }

// skipType finds the end of the type behind a cast.
func skipType(tokens []token, i int) int {
	if i < len(tokens) && (tokens[i].kind == tokenWord || tokens[i].kind == tokenName) {
		i++
	}
	for i < len(tokens) {
		t := tokens[i]
		switch {
		case isPunct(t, "."):
			i += 2
		case t.kind == tokenWord && (t.text == "PRECISION" || t.text == "VARYING" || t.text == "WITHOUT" || t.text == "WITH" || t.text == "TIME" || t.text == "ZONE"):
			i++
		case isPunct(t, "("):
			for i < len(tokens) && !isPunct(tokens[i], ")") {
				i++
			}
			i++
		case isPunct(t, "["):
			for i < len(tokens) && !isPunct(tokens[i], "]") {
				i++
			}
			i++
		default:
			return i
		}
	}
	return i
}
