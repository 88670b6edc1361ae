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
	is(every, "header missing: (x-frame-options|x-content-type-options|content-security-policy|vary|content-encoding)", "headers for browsers stand on pages for browsers alone, and answers are not compressed"),
	is(every, "header added: x-llmgw-version", "switched off by llmgw.version_headers"),
	is("(completions|image|images|transcription|translation|moderations|rerank|speech|control completions|control tags|fault).*", "header added: (x-litellm|llm_provider)-.*", "the same headers for every kind of call; LiteLLM leaves some out here and there"),
	is("(chat mock|fault streamed headers-only).*", "header missing: llm_provider-.*", "no answer of an upstream stands behind it"),
	is("(rerank|speech).*", "header missing: x-litellm-response-cost", "a price that is not known is not 0"),
	is("control timeout .*", "header missing: x-litellm-timeout", "a number that is none is the client's mistake"),

	is(every, "body lacks .choices\\[\\](.message)?.provider_specific_fields:object", "D26: the upstream's answer is passed on, not rebuilt"),
	is("chat (usage|stream|gateway).*|chat.*streamed.*|control completions usage|completions stream|responses stream.*|control stream_timeout", "events (adds|lacks) .*", "D26, D23: events are passed on, the usage event has no choices"),
	is("(control )?embeddings.*", "body (lacks|adds) .usage.*", "D26: the upstream's answer is passed on, not rebuilt"),
	is("moderations.*", "body lacks .results\\[\\].categor.*", "D26: categories keep OpenAI's names"),
	is("rerank.*", "body (adds|lacks) .meta.*", "D26: the upstream's answer is passed on, not rebuilt"),
	is("transcription as JSON", "(status 422, ours 400|detail).*", "the answer says what a form must look like"),
	is("transcription text", "content-type .*", "D26: text is passed on as text"),
	is("chat mock response", "body lacks .*", "a client's mock_response is answered; LiteLLM calls the upstream all the same"),
	is("chat bad mock error", "status 200, ours 429.*", "a client's mock_response is answered; LiteLLM calls the upstream all the same"),
	is("chat stream is a word", "status 200, ours 400.*", "stream decides the form of the answer and is true or false"),
	is("(chat header bad timeout|control header (retries|stream timeout) bad|control timeout (as a word|negative))", "(status (200|500|408), ours 400|error).*", "a number that is none is the client's mistake"),
	is("control fallbacks that are none", "status 200, ours 400.*", "fallbacks are a list"),

	is("(chat bad|control (chat|completions|embeddings|responses)) (half|not JSON|trailing text|trailing comma)|control (completions|embeddings|responses) half", "error.message .*", "the place of a syntax error is a byte, not a line and column"),
	is("chat bad (list|null|text|number)", "(status 500, ours 400|error).*", "a body that is no object is the client's mistake"),
	is("chat bad (invalid UTF-8|lone surrogate)", "status 400, ours 200.*", "D26: text is the upstream's to judge"),
	is("chat bad messages text", "status 400, ours 200.*", "D26: parameters are the upstream's to judge"),
	is("control (thinking|tools that are none|embeddings dimensions)|speech without a voice|image edit without an image", "status 400, ours 200.*", "D26: parameters are the upstream's to judge"),
	is("control chat for a model of another mode", "status 200, ours 400.*", "a deployment serves what its mode says"),
	is("control api_key given", "status 200, ours 401.*", "where requests go, and with which key, is the operator's to say"),
	is("(chat bad api_base|control base_url|control user_config) given", "error.message .*", "without the address of an advisory"),
	is(".*(model|unknown|engine|name with its provider).*", "error.*(Invalid model name|ours \"None\").*", "the text of a configuration without wildcards"),
	is("moderations (unknown model|without a model)", "(status 500, ours 400|error).*", "LiteLLM asks OpenAI itself, with a key that it does not have"),
	is("chat bad nothing", "error.*", "an empty body is named as what it is"),
	is("chat bad model (null|number)", "error.*", "one text for every model that is no text"),
	is("control .* tested(, none)?", "error.(message|provider_specific_fields) .*", "without the sentence about the admin page"),

	is("(fault|completions fault|embeddings fault|responses fault) (streamed )?(401|404|413|429)", "error.provider_specific_fields .*", "the provider's own code is kept beside the status"),
	is("(completions|embeddings|responses) fault (400|429|500|cut)", "error.(message|type) .*", "one text of an upstream's error for all kinds of call"),
	is("fault 403", "error.message .*", "the class says what happened"),
	is("fault 413", "error.message .*", "413 is a class of its own"),
	is("fault (empty|html|bad-json)", "(status 500, ours 502|error).*", "D22: an answer that is none is a bad gateway"),
	is("fault streamed (empty|html)", "(status 200, ours 502|content-type).*", "D22: an empty stream is no success"),
	is("fault (streamed )?(close|cut|reset|headers-only)", "error.(message|type) .*", "the connection error says what broke"),
	is("fault (streamed )?html-502", "error.message .*", "pages are not quoted whole"),
	is("fault streamed (cut|reset-mid)", "(status 500, ours 200|content-type|body broken).*", "the first event is passed on at once; the break is an error event"),
	is("fault streamed (error-event|truncate)", "events .*", "D22: a broken stream never ends with [DONE]"),

	is("absent .*", "(status [0-9]+, ours 501|error|detail|header missing|content-type|body).*", "endpoints that are not served, or need a database, answer 501"),
	is("absent (GET /cache/redis/info|POST /cache/(delete|flushall))", "(status 500, ours 503|detail).*", "the same words for every endpoint of a cache that is not there"),
	is("control retries as a word", "status 200, ours 400.*", "a number of retries that is none is refused; LiteLLM ignores it while nothing fails"),
	is("control public hub", "status 200, ours 401.*", "endpoints that are not served answer callers with a key"),
	is("image variation|translation", "status 404, ours 200.*", "LiteLLM does not serve image variations and translations"),
	is("get /(v1/)?model/info", "body (lacks|adds) .data\\[\\].(litellm_params|model_info)\\..*", "what llmgw knows of a model, not every column of LiteLLM's price list"),
	is("(get|control) .*model.group.*", "body (lacks|adds) .data\\[\\]\\..*", "what llmgw knows of a model, not every column of LiteLLM's price list"),
	is("get /health/readiness/details", "body .*", "what LiteLLM's admin page and its Python callbacks want to know"),
	is("get /health/services\\?service=nope", "error.message .*", "without the names of Python types"),
}

func knownAs(ask, what string) string {
	for _, k := range known {
		if k.ask.MatchString(ask) && k.what.MatchString(what) {
			return k.id()
		}
	}
	return ""
}
