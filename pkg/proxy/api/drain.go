package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
)

// serveDrain takes the instance out of rotation and answers when it has nothing
// left to do: for the preStop hook of a pod. It has no key, since kubelets have
// none, but a token where one is configured.
func serveDrain(a *API, x *exchange) int {
	if a.o.Drain == nil {
		return a.unknownPath(x)
	}
	if !a.o.DrainToken.IsZero() {
		given := sha256.Sum256([]byte(headerValue(x.r.Header, "X-Drain-Token")))
		want := sha256.Sum256([]byte(a.o.DrainToken.Reveal()))
		if subtle.ConstantTimeCompare(given[:], want[:]) != 1 {
			return detail(x.w, http.StatusUnauthorized, "Invalid or missing X-Drain-Token")
		}
	}
	finished := a.o.Drain(x.r.Context())
	writeJSON(x.w, http.StatusOK, marshal(struct {
		Status   string `json:"status"`
		Finished int64  `json:"drained_requests"`
	}{"drained", finished}))
	return http.StatusOK
}
