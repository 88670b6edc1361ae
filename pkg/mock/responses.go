package mock

import (
	"strconv"
	"strings"
	"time"
)

// The Responses API: one message item with one text part. Its streams number
// their events and repeat the whole answer at the end.

const responsesUsage = `{"input_tokens":` + string(slotPrompt) + `,"input_tokens_details":{"cached_tokens":0},"output_tokens":` +
	string(slotCompletion) + `,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":` + string(slotTotal) + `}`

func responsesObject(model, status, output, usage string) string {
	incomplete := "null"
	if status == "incomplete" {
		incomplete = `{"reason":"max_output_tokens"}`
	}
	return `{"id":"resp_` + string(slotID) + `","object":"response","created_at":` + created + `,"status":"` + status +
		`","error":null,"incomplete_details":` + incomplete + `,"instructions":null,"max_output_tokens":null,"model":` + model +
		`,"output":[` + output + `],"parallel_tool_calls":true,"previous_response_id":null,"store":false,"temperature":1.0,` +
		`"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":` +
		usage + `,"metadata":{}}`
}

func responsesPart(text string) string {
	return `{"type":"output_text","annotations":[],"logprobs":[],"text":` + quote(text) + `}`
}

func responsesItem(status, content string) string {
	return `{"id":"msg_` + string(slotID) + `","type":"message","status":"` + status + `","role":"assistant","content":[` + content + `]}`
}

func responsesStatus(short bool) string {
	if short {
		return "incomplete"
	}
	return "completed"
}

func responsesBody(model string, chunks []string, short bool) template {
	status := responsesStatus(short)
	text := nonceSlot(0) + strings.Join(chunks, "")
	return compile(responsesObject(model, status, responsesItem(status, responsesPart(text)), responsesUsage) + "\n")
}

func (c *exchange) streamResponses(e *emitter) bool {
	model, v := string(c.peek.model), &c.vars
	chunks := c.m.chunks[:v.completion]
	short := v.completion < c.m.opt.Chunks
	seq := 0
	emit := func(kind, members string) bool {
		e.buf = compile("event: "+kind+"\ndata: {\"type\":\""+kind+"\",\"sequence_number\":"+strconv.Itoa(seq)+","+members+"}\n\n").append(e.buf, v)
		seq++
		return e.event()
	}
	place := `"item_id":"msg_` + string(slotID) + `","output_index":0,"content_index":0,`
	if !emit("response.created", `"response":`+responsesObject(model, "in_progress", "", "null")) ||
		!emit("response.in_progress", `"response":`+responsesObject(model, "in_progress", "", "null")) ||
		!emit("response.output_item.added", `"output_index":0,"item":`+responsesItem("in_progress", "")) ||
		!emit("response.content_part.added", place+`"part":`+responsesPart("")) {
		return false
	}
	var text strings.Builder
	next := time.Now()
	for i, chunk := range chunks {
		if i > 0 && !c.itl.Zero() {
			next = next.Add(c.draw(&c.itl))
			if !e.send() || !c.sleep(next) {
				return false
			}
		}
		delta := nonceSlot(i) + chunk
		members := place + `"delta":` + quote(delta) + `,"logprobs":[]`
		if i == len(chunks)/2 && c.fault != faultNone && c.faultMidStream(e, data(`{"type":"response.output_text.delta",`+members+`}`)) {
			return false
		}
		text.WriteString(delta)
		if !emit("response.output_text.delta", members) {
			return false
		}
	}
	status := responsesStatus(short)
	item := responsesItem(status, responsesPart(text.String()))
	return emit("response.output_text.done", place+`"text":`+quote(text.String())+`,"logprobs":[]`) &&
		emit("response.content_part.done", place+`"part":`+responsesPart(text.String())) &&
		emit("response.output_item.done", `"output_index":0,"item":`+item) &&
		(c.fault == faultNoDone || emit("response."+status, `"response":`+responsesObject(model, status, item, responsesUsage)))
}
