package splice

// Kind says why a stream did not end well.
type Kind uint8

const (
	// Fault is an error event of the upstream; Body is its JSON.
	Fault Kind = iota
	// Malformed is an event whose JSON is broken; Body is its beginning.
	Malformed
	// TooLarge is an event beyond the limit.
	TooLarge
	// NotStream is a body of another kind; Body is it, or its beginning.
	NotStream
	// Empty is a stream that ended before its first event.
	Empty
	// Repeating is a stream whose model says the same again and again.
	Repeating
	// Truncated is a stream that ended before its answer did.
	Truncated
)

// StreamError ends a stream.
type StreamError struct {
	Kind Kind
	Body []byte
}

// Error says what happened without quoting the upstream.
func (e *StreamError) Error() string {
	switch e.Kind {
	case Fault:
		return "the upstream reported an error within the stream"
	case Malformed:
		return "the upstream sent an event that is not valid JSON"
	case TooLarge:
		return "the upstream sent an event larger than the limit"
	case NotStream:
		return "the upstream answered with something else than an event stream"
	case Repeating:
		return "The model is repeating the same chunk."
	case Empty:
		return "the upstream closed the stream before its first event"
	default:
		return "the upstream closed the stream before the answer was complete"
	}
}
