// Package splice is the lane of the proxy that never decodes a body: it finds
// the few members that the gateway reads or changes, and copies every other
// byte as it came, so that numbers keep their spelling, members their order and
// prompt caches their hits.
//
// It has four parts. [Request] scans a request body once, to its end, and
// [Request.Append] writes the upstream's body for one deployment. [Response]
// does the same for a complete answer. [Tap] sits in a stream of server-sent
// events: it restamps the model, reads usage, and holds back what the client
// did not ask for. [Usage] objects are the only thing decoded.
//
// Nothing here does I/O, starts goroutines, or allocates in the steady state;
// the values are meant to be pooled by their caller and reused with Reset or
// Scan. The package must not learn about providers: what differs between them
// arrives as options.
package splice
