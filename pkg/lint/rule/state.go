package rule

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/llmgw/llmgw/internal/facts"
)

// StateFile is what doctor remembers between runs.
const StateFile = ".llmgw-doctor.state"

// Memory is what an earlier run wrote down.
type Memory struct {
	File string
	// Salts are the fingerprints of the salt keys, by the workload that has
	// them; "" is a deployment without manifests.
	Salts map[string]string
}

// SaltFingerprint tells salt keys apart and says nothing about them: they are
// random and long, so that nobody finds one by trying.
func SaltFingerprint(salt string) string {
	sum := sha256.Sum256([]byte("llmgw doctor, fingerprint of a salt key\x00" + salt))
	return hex.EncodeToString(sum[:6])
}

// Salts are the fingerprints of the salt keys among the inputs.
func (m *Model) Salts() map[string]string {
	out := map[string]string{}
	for _, u := range m.Units {
		if v := u.variable("LITELLM_SALT_KEY"); v.State == Known && v.Text != "" {
			out[u.owner()] = SaltFingerprint(v.Text)
		}
	}
	return out
}

// owner names the deployment that a unit is.
func (u *Unit) owner() string {
	if u.Workload == nil {
		return ""
	}
	return u.Workload.Namespace + "/" + u.Workload.Name
}

func init() {
	const salted = oneModel + "general_settings: {database_url: os.environ/DATABASE_URL}\n"
	salt := func(s string) string {
		return "OPENAI_API_KEY=x\nDATABASE_URL=postgresql://u:p@localhost/x?sslmode=require\nLITELLM_SALT_KEY=" + s + "\n"
	}
	state := map[string]string{StateFile: `{"schema":"llmgw.doctor.state/1","salts":{"":"` + SaltFingerprint(strongSalt) + `"}}`}
	register(
		&Rule{
			ID: "SEC010", Name: "salt-key-changed", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "the salt key is not the one it was",
			When:   StateFile + ", which --record-state writes, holds another fingerprint of LITELLM_SALT_KEY. The fingerprint does not give the key away. With --live, RUN019 tries what the database holds.",
			Why:    "everything that was stored with the old key can no longer be read: the models in the database lose their provider keys.",
			Remedy: "put the old value back; to move to another key use llmgw secrets rekey, then run llmgw doctor --record-state again.",
			Source: []string{"LiteLLM production guide, section 8", "LiteLLM issues 13406 and 15776"},
			Bad:    Example{Config: salted, Env: salt("T7rQmZ4vXs1LbKd9Wp3NyHc6FgJe2UaB"), Extra: state, Show: "LITELLM_SALT_KEY=<a new value>   # another fingerprint than in " + StateFile},
			Good:   Example{Config: salted, Env: salt(strongSalt), Extra: state, Show: "LITELLM_SALT_KEY=<the value it had>"},
			Check: func(u *Unit) []Hit {
				v := u.variable("LITELLM_SALT_KEY")
				if s := u.Model.Flags.Memory; s != nil && v.State == Known && v.Text != "" {
					if was := s.Salts[u.owner()]; was != "" && was != SaltFingerprint(v.Text) {
						return []Hit{hitf(v.Pos, "LITELLM_SALT_KEY", sevError, "LITELLM_SALT_KEY has changed since %s was written", s.File)}
					}
				}
				return nil
			},
		},
		&Rule{
			ID: "SEC030", Name: "fallback-bypasses-model-access", Severity: "info", Priority: 3, Fix: Manual, OptIn: true, Target: facts.LiteLLM,
			Title:  "a fallback may lead to a model that the key may not use",
			When:   "there are fallbacks and a database, and enforce_fallback_model_access is not true.",
			Why:    "a key that is restricted to a cheap model can end on an expensive one.",
			Remedy: "set general_settings.enforce_fallback_model_access: true where keys carry lists of models.",
			Source: []string{"LiteLLM configuration reference", "LiteLLM reliability guide"},
			Bad:    Example{Config: twoModels + "general_settings: {database_url: os.environ/DATABASE_URL}\nrouter_settings: {fallbacks: [{\"fast\": [\"large\"]}]}\n"},
			Good:   Example{Config: twoModels + "general_settings: {database_url: os.environ/DATABASE_URL, enforce_fallback_model_access: true}\nrouter_settings: {fallbacks: [{\"fast\": [\"large\"]}]}\n"},
			Check: func(u *Unit) []Hit {
				const key = general + "enforce_fallback_model_access"
				f := u.fallbacks()
				if len(f) == 0 || !u.DatabaseInUse() || u.On(key) || u.Setting(key).State == Unknown {
					return nil
				}
				return []Hit{hitf(u.At(key), key, sevInfo, "the fallbacks of %q also serve keys that may not use them", f[0].source)}
			},
		},
	)
}
