package difftest

import (
	"regexp"
)

// A difference that is meant or known, with the place that explains it.
type difference struct {
	ask, what *regexp.Regexp
	why       string // a D number of docs/compatibility.md, or a reason that stands there
}

func (d difference) id() string { return d.ask.String() + " / " + d.what.String() + ": " + d.why }

func is(ask, what, why string) difference {
	return difference{regexp.MustCompile("^(?:" + ask + ")$"), regexp.MustCompile("^(?:" + what + ")$"), why}
}

// every matches each request.
const every = ".*"

var known = []difference{
	is(every, "header missing: (x-frame-options|x-content-type-options|content-security-policy|vary)", "headers for browsers stand on pages for browsers alone"),
	is(every, "header added: x-llmgw-version", "switched off by llmgw.version_headers"),
	is(every, "body lacks .choices\\[\\](.message)?.provider_specific_fields:object", "D26: the upstream's answer is passed on, not rebuilt"),
	is("chat (usage|stream|gateway).*|chat.*streamed.*", "events (adds|lacks) .*", "D26, D23: events are passed on, the usage event has no choices"),
	is("chat mock response", "body lacks .*", "a client's mock_response is answered; LiteLLM calls the upstream all the same"),
	is("chat bad mock error", "(status 200, ours 429|body .*|content-type .*)", "a client's mock_response is answered; LiteLLM calls the upstream all the same"),
	is("chat stream is a word", "(status 200, ours 400|body .*)", "stream decides the form of the answer and is true or false"),
	is("chat header bad timeout", "(status 500, ours 400|error.*)", "a number that is none is the client's mistake"),

	is("chat bad (half|not JSON|trailing text|trailing comma)", "error.message .*", "the place of a syntax error is a byte, not a line and column"),
	is("chat bad (list|null|text|number)", "(status 500, ours 400|error.*)", "a body that is no object is the client's mistake"),
	is("chat bad (invalid UTF-8|lone surrogate)", "(status 400, ours 200|body .*)", "D26: text is the upstream's to judge"),
	is("chat bad (messages null|messages text|no messages)", "(status 400, ours 200|body .*|error.*)", "D26: parameters are the upstream's to judge"),
	is("(chat|completions|embeddings|responses) .*model.*", "error.*(Invalid model name|ours \"None\").*", "the text of a configuration without wildcards"),
	is("chat bad nothing", "error.*", "an empty body is named as what it is"),
	is("chat bad api_base given", "error.message .*", "without the address of an advisory"),
	is("chat bad model (null|number)", "error.*", "one text for every model that is no text"),

	is("fault (streamed )?(401|404|413|429)", "error.provider_specific_fields .*", "the provider's own code is kept beside the status"),
	is("fault 403", "error.message .*", "the class says what happened"),
	is("fault 413", "error.message .*", "413 is a class of its own"),
	is("fault (empty|html|bad-json)", "(status 500, ours 502|error.*)", "D22: an answer that is none is a bad gateway"),
	is("fault streamed (empty|html)", "(status 200, ours 502|content-type.*)", "D22: an empty stream is no success"),
	is("fault (streamed )?(close|cut|reset|headers-only)", "error.(message|type) .*", "the connection error says what broke"),
	is("fault (streamed )?html-502", "error.message .*", "pages are not quoted whole"),
	is("fault streamed (cut|reset-mid)", "(status 500, ours 200|content-type.*|body broken.*)", "the first event is passed on at once; the break is an error event"),
	is("fault streamed (error-event|truncate)", "events .*", "D22: a broken stream never ends with [DONE]"),
}

func knownAs(ask, what string) string {
	for _, k := range known {
		if k.ask.MatchString(ask) && k.what.MatchString(what) {
			return k.id()
		}
	}
	return ""
}
