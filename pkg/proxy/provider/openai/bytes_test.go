package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// The splice lane changes the documented spans of what passes and no other byte.
// The reference here finds those spans with encoding/json, and copies the rest.

// member is one member of an object, by the offsets of its value.
type member struct {
	name       string
	begin, end int
}

// members lists the top-level members of a JSON object; nil when it is none.
func members(object string) (list []member) {
	d := json.NewDecoder(strings.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return nil
		}
		end := int(d.InputOffset())
		list = append(list, member{name, end - len(value), end})
	}
	if _, err := d.Token(); err != nil {
		return nil
	}
	return list
}

const clientModel = `"client-model"`

// restamped replaces the model of an object, or that of the response object in
// it, by the client's.
func restamped(object string, nested bool) string {
	for _, m := range members(object) {
		switch {
		case m.name == "model" && !nested && object[m.begin] == '"':
			return object[:m.begin] + clientModel + object[m.end:]
		case m.name == "response" && nested:
			return object[:m.begin] + restamped(object[m.begin:m.end], false) + object[m.end:]
		}
	}
	return object
}

// restampedStream does the same for each event of a stream. The end mark is
// always ours, and nothing follows it.
func restampedStream(stream string, op wire.Op) string {
	var out strings.Builder
	for _, line := range strings.SplitAfter(stream, "\n") {
		data, ok := strings.CutPrefix(line, "data:")
		if !ok {
			out.WriteString(line)
			continue
		}
		text := strings.TrimRight(data, "\r\n")
		if strings.TrimSpace(text) == "[DONE]" {
			break
		}
		out.WriteString("data:" + restamped(text, op == wire.Responses) + data[len(text):])
	}
	if op != wire.Responses {
		out.WriteString("data: [DONE]\n\n")
	}
	return out.String()
}

// openRecordings are all interactions in OpenAI's format, whoever answered.
func openRecordings(t *testing.T) (list []recording) {
	list = recordings(t)
	files, _ := filepath.Glob(filepath.Join(testenv.Data(t), "recordings", "*", "*.json"))
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Interactions []struct {
				Request struct {
					Method, URL string
					Body        json.RawMessage
				}
				Response struct {
					Status int
					Body   json.RawMessage
				}
			}
		}
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Interactions {
			path, _, _ := strings.Cut(i.Request.URL, "?")
			if i.Request.Method == "POST" && strings.HasSuffix(path, "/responses") {
				list = append(list, recording{
					file: filepath.Base(filepath.Dir(name)) + "/" + filepath.Base(name), op: wire.Responses,
					request: i.Request.Body, status: i.Response.Status, body: i.Response.Body,
				})
			}
		}
	}
	return list
}

// steps says at how many places a text is cut.
func steps(n, most int) int {
	if os.Getenv("LLMGW_LONG") != "" {
		return 1
	}
	return max(1, n/most)
}

func TestEveryRecordedRequestPassesByteForByte(t *testing.T) {
	n, exact, cuts := 0, 0, 0
	seen := map[string]bool{}
	for _, rec := range openRecordings(t) {
		in := string(rec.request)
		if len(in) == 0 || in[0] != '{' || seen[in] {
			continue
		}
		seen[in] = true
		n++
		var req splice.Request
		if err := req.Scan([]byte(in)); err != nil {
			t.Errorf("%s: %v", rec.file, err)
			continue
		}
		x := testLane(t, rec.op).Open(wire.Options{Request: &req})
		out, err := x.AppendRequest(nil)
		x.Close()
		if err != nil {
			t.Fatalf("%s: %v", rec.file, err)
		}
		removed := false
		for _, m := range members(in) {
			removed = removed || m.name == "metadata"
			if m.name != "metadata" && m.name != "model" && !bytes.Contains(out, []byte(in[m.begin:m.end])) {
				t.Errorf("%s: the value of %s has changed", rec.file, m.name)
			}
		}
		if !removed {
			exact++
			want := strings.Replace(restamped(in, false), clientModel, `"upstream-model"`, 1)
			if string(out) != want {
				t.Errorf("%s: %d bytes, want %d", rec.file, len(out), len(want))
			}
		}
		// What was cut off on its way is not taken for a request.
		for cut := 0; cut < len(in); cut += steps(len(in), 40) {
			cuts++
			if err := req.Scan([]byte(in[:cut])); err == nil {
				t.Fatalf("%s: %d of %d bytes are taken for the whole", rec.file, cut, len(in))
			}
		}
	}
	if n < 300 || exact < 290 {
		t.Errorf("%d requests, %d of them compared byte for byte", n, exact)
	}
	t.Logf("%d requests, %d byte for byte, %d cuts", n, exact, cuts)
}

func TestEveryRecordedAnswerPassesByteForByte(t *testing.T) {
	n, faults, cuts := 0, 0, 0
	seen := map[string]bool{}
	for _, rec := range openRecordings(t) {
		in := string(rec.body)
		if rec.status != 200 || len(in) == 0 || in[0] != '{' || seen[in] {
			continue
		}
		seen[in] = true
		n++
		var req splice.Request
		if err := req.Scan([]byte(`{"model":"m"}`)); err != nil {
			t.Fatal(err)
		}
		lane := testLane(t, rec.op)
		pass := func(text string) (string, error) {
			x := lane.Open(wire.Options{Request: &req, Restamp: "client-model"})
			defer x.Close()
			out, err := x.AppendAnswer(nil, []byte(text))
			return string(out), err
		}
		out, err := pass(in)
		if err != nil {
			faults++ // an error with status 200, see TestRecordedAnswersKeepEverythingButTheModel
			continue
		}
		if want := restamped(in, false); out != want {
			t.Errorf("%s: %d bytes, want %d", rec.file, len(out), len(want))
		}
		for cut := 0; cut < len(in); cut += steps(len(in), 40) {
			cuts++
			if _, err := pass(in[:cut]); err == nil {
				t.Fatalf("%s: %d of %d bytes are taken for the whole", rec.file, cut, len(in))
			}
		}
	}
	if n < 300 || faults > 5 {
		t.Errorf("%d answers, %d errors among them", n, faults)
	}
	t.Logf("%d answers, %d errors among them, %d cuts", n, faults, cuts)
}

func TestEveryRecordedStreamPassesByteForByteHoweverItIsCut(t *testing.T) {
	n, faults, cuts, pieces, byOp := 0, 0, 0, 0, map[wire.Op]int{}
	seen := map[string]bool{}
	for _, rec := range openRecordings(t) {
		if rec.status != 200 || len(rec.body) == 0 || rec.body[0] != '"' || seen[string(rec.body)] {
			continue
		}
		seen[string(rec.body)] = true
		var stream string
		if err := json.Unmarshal(rec.body, &stream); err != nil {
			t.Fatal(err)
		}
		n++
		byOp[rec.op]++
		var req splice.Request
		if err := req.Scan([]byte(`{"model":"m","stream":true}`)); err != nil {
			t.Fatal(err)
		}
		lane := testLane(t, rec.op)
		o := wire.Options{Request: &req, Restamp: "client-model"}
		x := lane.Open(o)
		whole, failure := passed(t, x, []byte(stream), 0)
		x.Close()
		want := restampedStream(stream, rec.op)
		if failure != nil {
			faults++
			if !strings.HasPrefix(want, whole) || !strings.Contains(stream, `"error"`) {
				t.Errorf("%s: %v", rec.file, failure)
			}
		} else if whole != want {
			t.Errorf("%s: %d bytes, want %d: %s", rec.file, len(whole), len(want), firstDifference(whole, want))
		}
		for _, cut := range cutsOf(len(stream)) {
			cuts++
			x := lane.Open(o)
			again, err := passed(t, x, []byte(stream), cut)
			x.Close()
			if again != whole || (err == nil) != (failure == nil) {
				t.Fatalf("%s: a cut at %d changes the result", rec.file, cut)
			}
			// Lost there, what came out is the begin of the whole, and never its
			// clean end.
			x = lane.Open(o)
			lost, err := passed(t, x, []byte(stream[:cut]), 0)
			done := x.Done()
			x.Close()
			rest := strings.TrimSuffix(lost, "data: [DONE]\n\n")
			if !strings.HasPrefix(whole, rest) || err == nil && !done && cut < len(stream) {
				t.Fatalf("%s: lost at %d: %v, done %v, %q", rec.file, cut, err, done, lost[max(0, len(lost)-200):])
			}
		}
		// In small pieces, whose ends fall on every byte in one of the passes.
		const piece = 61
		for phase := 0; phase < piece; phase += steps(piece, 3) {
			x := lane.Open(o)
			again, err := inPieces(x, stream, phase, piece)
			x.Close()
			pieces += (len(stream)-phase)/piece + 1
			if again != whole || (err == nil) != (failure == nil) {
				t.Fatalf("%s: pieces of %d from %d on change the result", rec.file, piece, phase)
			}
		}
	}
	if n < 40 || byOp[wire.Responses] < 10 {
		t.Errorf("%d streams: %v", n, byOp)
	}
	t.Logf("%d streams (chat %d, responses %d, completions %d), %d with an error; %d cuts in two, each read on and lost; %d cuts into pieces",
		n, byOp[wire.Chat], byOp[wire.Responses], byOp[wire.Completions], faults, cuts, pieces)
}

// cutsOf says where a stream is cut in two: at every byte of a short one, and of
// the ends of a long one, whose middle would take time by its square.
func cutsOf(n int) (list []int) {
	step, short, ends := steps(n, 50), 24<<10, 4<<10
	for cut := 0; cut <= n; cut += step {
		if n > short && step == 1 && cut > ends && cut < n-ends && cut%16 != 0 {
			continue
		}
		list = append(list, cut)
	}
	return list
}

func inPieces(x wire.Exchange, stream string, first, piece int) (string, error) {
	var out strings.Builder
	for at, end := 0, first; at < len(stream); at, end = end, end+piece {
		for part := stream[at:min(end, len(stream))]; part != ""; {
			n := copy(x.Space(), part)
			part = part[n:]
			got, err := x.Advance(n)
			out.Write(got)
			if err != nil {
				return out.String(), err
			}
		}
	}
	got, err := x.Finish()
	out.Write(got)
	return out.String(), err
}

func firstDifference(a, b string) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	clip := func(s string) string { return s[max(0, i-60):min(len(s), i+60)] }
	return fmt.Sprintf("at %d %q, want %q", i, clip(a), clip(b))
}

// TestAnyStreamPassesByteForByteHoweverItIsCut: the same for streams that nobody
// has recorded, in any number of pieces.
func TestAnyStreamPassesByteForByteHoweverItIsCut(t *testing.T) {
	value := rapid.OneOf(
		rapid.SampledFrom([]string{"null", "true", "1.0", "-0", "1e400", "[]", "{}", `[1, {"model":"inner"}]`, `"\ud83d\ude00"`, "\"\xff\"", `"data: [DONE]"`, `{"usage":null,"model":2}`}),
		rapid.Custom(func(t *rapid.T) string {
			b, _ := json.Marshal(rapid.String().Draw(t, "text"))
			return string(b)
		}),
	)
	blank := rapid.SampledFrom([]string{"", " ", "\t", "  "})
	name := rapid.SampledFrom([]string{"id", "object", "x", "Model", "system_fingerprint", "", "mod\\u0065ls", "logprobs"})
	event := rapid.Custom(func(t *rapid.T) string {
		parts := []string{
			`"choices":` + rapid.SampledFrom([]string{`[{"index":0,"delta":{"content":"Hi"}}]`, `[{"delta":{"model":"y"},"index":1}]`}).Draw(t, "choices"),
			`"model":` + blank.Draw(t, "b") + rapid.SampledFrom([]string{`"up"`, `"a\"b"`, `"\u0061"`, `""`}).Draw(t, "model"),
		}
		for range rapid.IntRange(0, 4).Draw(t, "members") {
			parts = append(parts, fmt.Sprintf(`%s"%s"%s:%s%s%s`, blank.Draw(t, "b"), name.Draw(t, "name"), blank.Draw(t, "b"), blank.Draw(t, "b"), value.Draw(t, "value"), blank.Draw(t, "b")))
		}
		order := rapid.Permutation(parts).Draw(t, "order")
		return blank.Draw(t, "b") + "{" + strings.Join(order, ",") + "}" + blank.Draw(t, "b")
	})
	rapid.Check(t, func(t *rapid.T) {
		end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "line end")
		var b strings.Builder
		for range rapid.IntRange(1, 6).Draw(t, "events") {
			for range rapid.IntRange(0, 2).Draw(t, "comments") {
				b.WriteString(": PROCESSING" + end)
			}
			b.WriteString(rapid.SampledFrom([]string{"", "event: message" + end, "id: 7" + end, "retry: 10" + end}).Draw(t, "field"))
			b.WriteString("data:" + event.Draw(t, "event") + end + end)
		}
		b.WriteString(`data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + end + end)
		if rapid.Bool().Draw(t, "done") {
			b.WriteString("data: [DONE]" + end + end)
		}
		stream := b.String()
		l, err := Prepare(testDeployment, wire.Chat, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var req splice.Request
		if err := req.Scan([]byte(`{"model":"m","stream":true}`)); err != nil {
			t.Fatal(err)
		}
		x := l.Open(wire.Options{Request: &req, Restamp: "client-model"})
		defer x.Close()
		var out strings.Builder
		for r := strings.NewReader(stream); ; {
			space := x.Space()
			n, err := r.Read(space[:min(len(space), rapid.IntRange(1, 300).Draw(t, "piece"))])
			if err == io.EOF {
				break
			}
			got, err := x.Advance(n)
			if err != nil {
				t.Fatalf("%v in %q", err, stream)
			}
			out.Write(got)
		}
		got, err := x.Finish()
		if err != nil {
			t.Fatalf("%v in %q", err, stream)
		}
		out.Write(got)
		if want := restampedStream(stream, wire.Chat); out.String() != want {
			t.Fatalf("%s\nof %q", firstDifference(out.String(), want), stream)
		}
	})
}
