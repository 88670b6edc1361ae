package rule

import (
	"slices"

	"github.com/llmgw/llmgw/internal/manifest"
)

// What a workload was read from decides which rules about workloads can be
// judged: values of a chart do not show the objects the chart makes, and a
// compose file knows neither readiness nor rollouts. Rules about the config
// and the environment hold everywhere.
var byForm = map[manifest.Form][]string{
	manifest.FromValues: {
		"K8S001", "K8S002", "K8S003", "K8S004", "K8S005", "K8S008", "K8S014", "K8S016", "K8S017", "K8S018", "K8S019",
		"K8S022", "K8S026", "K8S029", "MIG001", "MIG002", "MIG003", "MIG013", "TMO003", "TMO004", "DB022",
	},
	manifest.FromCompose: {
		"K8S002", "K8S003", "K8S005", "K8S008", "K8S022", "K8S023", "K8S024", "K8S025", "K8S026", "K8S027", "K8S029",
		"MIG001", "MIG002", "MIG003", "MIG007", "MIG011", "TMO003",
	},
}

// aboutConfig are rules of the workload groups whose evidence is the config or
// the environment.
var aboutConfig = []string{"TMO001", "TMO002", "TMO007", "TMO008", "TMO009", "TMO012", "TMO013", "MIG004", "MIG005", "MIG006"}

// Reads reports whether the rule can be judged on a workload of that form.
func (r *Rule) Reads(form manifest.Form) bool {
	if form == manifest.FromObject {
		return true
	}
	switch r.Group() {
	case "K8S", "MIG", "TMO":
		return slices.Contains(byForm[form], r.ID) || slices.Contains(aboutConfig, r.ID)
	}
	return r.ID != "PRF012"
}

func init() {
	register(&Rule{
		ID: "DB022", Name: "bundled-postgres", Severity: "warning", Priority: 1, Fix: Manual, Off: []Profile{Dev},
		Title:  "the chart brings its own Postgres",
		When:   "the values of LiteLLM's chart have a db block in which useExisting is not true and deployStandalone is not false.",
		Why:    "one pod with one volume and the chart's own password holds every key and all spend; it has no replica, no backup and few connections.",
		Remedy: "use a managed or replicated Postgres: db.useExisting: true with db.endpoint, db.database and db.secret.",
		Source: []string{"LiteLLM production guide, section 7", "litellm-helm values.yaml"},
		Bad:    Example{Manifest: "db:\n  deployStandalone: true\nproxy_config: {model_list: [{model_name: a, litellm_params: {model: openai/a, api_key: os.environ/K}}]}\n", Show: "db:\n  deployStandalone: true"},
		Good:   Example{Manifest: "db:\n  useExisting: true\n  deployStandalone: false\nproxy_config: {model_list: [{model_name: a, litellm_params: {model: openai/a, api_key: os.environ/K}}]}\n", Show: "db:\n  useExisting: true\n  endpoint: postgres.internal\n  database: litellm\n  secret: {name: litellm-db}"},
		Check: func(u *Unit) []Hit {
			if u.Workload == nil || u.Workload.Form != manifest.FromValues {
				return nil
			}
			db := u.Workload.Object.Node.Get("db")
			existing, _ := db.Get("useExisting").Bool()
			standalone, said := db.Get("deployStandalone").Bool()
			if db == nil || existing || said && !standalone {
				return nil
			}
			pos := db.Where()
			if n := db.Get("deployStandalone"); n != nil {
				pos = n.Where()
			}
			return hit(pos, "db.deployStandalone", sevWarn, "the chart runs a Postgres of its own beside the gateway")
		},
	})
}
