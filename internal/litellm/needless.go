package litellm

import _ "embed"

// needlessTSV lists keys that LiteLLM acts on and that need no action here, with
// the reason.
//
//go:embed data/needless.tsv
var needlessTSV string

func needlessKeys() map[keyID]string {
	why := map[keyID]string{}
	table("needless.tsv", needlessTSV, func(r row) {
		id := keyOf(r.str("key"))
		if _, dup := why[id]; dup {
			r.fail("%s is listed twice", r.str("key"))
		}
		why[id] = r.str("why")
	})
	return why
}
