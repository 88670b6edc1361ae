package call

// Operation is what a call is, in the words of those who are told about it.
type Operation struct {
	// Type is LiteLLM's call_type.
	Type string
	// GenAI is the operation of OpenTelemetry's conventions for generative AI;
	// those that have no word there keep their own.
	GenAI string
}

var operations = map[string]Operation{
	"/v1/chat/completions":     {"acompletion", "chat"},
	"/v1/completions":          {"atext_completion", "text_completion"},
	"/v1/embeddings":           {"aembedding", "embeddings"},
	"/v1/responses":            {"aresponses", "chat"},
	"/v1/messages":             {"anthropic_messages", "chat"},
	"/v1/moderations":          {"amoderation", "moderation"},
	"/v1/rerank":               {"arerank", "rerank"},
	"/v1/images/generations":   {"aimage_generation", "image_generation"},
	"/v1/images/edits":         {"aimage_edit", "image_edit"},
	"/v1/images/variations":    {"aimage_variation", "image_variation"},
	"/v1/audio/speech":         {"aspeech", "speech"},
	"/v1/audio/transcriptions": {"atranscription", "transcription"},
	"/v1/audio/translations":   {"atranslation", "translation"},
}

// OperationOf is the operation of a route.
func OperationOf(route string) Operation {
	if o, ok := operations[route]; ok {
		return o
	}
	return Operation{"acompletion", "chat"}
}
