// Package auth says who is calling. It reads the credential from the headers
// and nothing else: it runs before a byte of the body is read, so that an
// unknown key cannot make the gateway buffer anything. What a caller may do with
// a body (models, budgets, limits) is decided later, elsewhere.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Keys finds virtual keys by the SHA-256 of the whole key. It must answer from
// memory; err is the failure to be sent when the key cannot be looked up.
type Keys interface {
	Lookup(hash [sha256.Size]byte) (id *call.Identity, err *call.Error)
}

// Options configure an Authenticator.
type Options struct {
	// MasterKey is the admin key. Empty, together with Open, admits everybody.
	MasterKey redact.Secret
	// Open admits callers without or with any credential as internal users. It
	// takes effect only without a master key, and only where the operator has
	// said so or the listener is on loopback; the caller of New decides that.
	Open bool
	// KeyHeader is general_settings.litellm_key_header_name.
	KeyHeader string
	// Keys holds virtual keys; nil means that no database is configured.
	Keys Keys
}

// Authenticator is immutable and safe for concurrent use.
type Authenticator struct {
	master    [sha256.Size]byte
	hasMaster bool
	open      bool
	keyHeader string
	keys      Keys
}

var (
	admin     = &call.Identity{KeyHash: call.MasterKeyAlias, UserID: "default_user_id", Role: call.RoleProxyAdmin}
	anonymous = &call.Identity{UserID: "default_user_id", Role: call.RoleInternalUser}
)

// New returns an Authenticator.
func New(o Options) *Authenticator {
	a := &Authenticator{keyHeader: http.CanonicalHeaderKey(o.KeyHeader), keys: o.Keys}
	if !o.MasterKey.IsZero() {
		a.hasMaster = true
		a.master = sha256.Sum256([]byte(o.MasterKey.Reveal()))
	}
	a.open = o.Open && !a.hasMaster
	return a
}

const prefix = "Authentication Error, "

// The failures of the identity stage that do not depend on the key.
var (
	errNoKey        = unauthorized(prefix + "No api key passed in.")
	errMalformedKey = unauthorized(prefix + "Malformed API Key passed in. Ensure Key has `Bearer ` prefix.")
	errNoDatabase   = call.NewError(http.StatusBadRequest, "no_db_connection", "", "No connected db.")
)

func unauthorized(message string) *call.Error {
	return call.NewError(http.StatusUnauthorized, "auth_error", call.None, message)
}

// Identify returns the caller, or the failure to answer with. Returned errors
// are shared and must not be changed.
func (a *Authenticator) Identify(r *http.Request) (*call.Identity, *call.Error) {
	if a.open {
		return anonymous, nil
	}
	key, found := a.credential(r)
	if !found {
		return nil, errNoKey
	}
	if key == "" {
		return nil, errMalformedKey
	}
	hash := hashKey(key)
	if a.hasMaster && subtle.ConstantTimeCompare(hash[:], a.master[:]) == 1 {
		return admin, nil
	}
	if a.keys == nil {
		return nil, errNoDatabase
	}
	if !strings.HasPrefix(key, "sk-") {
		// Before any lookup: a leaked hash must not work as a key.
		return nil, unauthorized("LiteLLM Virtual Key expected. Received=" + abbreviate(key) + ", expected to start with 'sk-'.")
	}
	id, err := a.keys.Lookup(hash)
	if err != nil {
		return nil, err
	}
	if id == nil {
		return nil, call.NewError(http.StatusUnauthorized, "token_not_found_in_db", "key",
			prefix+"Invalid proxy server token passed. Received API Key = sk-..."+last4(key)+
				", Key Hash (Token) ="+hex.EncodeToString(hash[:])+
				". Unable to find token in cache or `LiteLLM_VerificationTokenTable`")
	}
	return id, nil
}

// hashKey hashes without an allocation for keys of a usual length.
func hashKey(key string) [sha256.Size]byte {
	var buf [128]byte
	if len(key) <= len(buf) {
		return sha256.Sum256(buf[:copy(buf[:], key)])
	}
	return sha256.Sum256([]byte(key))
}

func abbreviate(key string) string {
	if len(key) <= 8 {
		return "****"
	}
	return key[:4] + "****" + last4(key)
}

func last4(key string) string {
	if len(key) <= 8 {
		return "****"
	}
	return key[len(key)-4:]
}
