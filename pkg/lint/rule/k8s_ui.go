package rule

import (
	"strings"

	"github.com/llmgw/llmgw/internal/facts"
)

func init() {
	register(
		&Rule{
			ID: "K8S033", Name: "ui-init-image-mismatch", Severity: "warning", Priority: 2, Fix: Safe, Target: facts.LiteLLM, Off: []Profile{Dev},
			Title:  "the UI of one release, the API of another",
			When:   "an init container of LiteLLM that copies the UI uses another image reference than the gateway container.",
			Why:    "the UI calls routes that the API does not have.",
			Remedy: "use one image reference for both.",
			Source: []string{"LiteLLM production guide, read-only file system"},
			Bad:    k8s("      containers:\n        - name: litellm\n", "      initContainers:\n        - {name: ui, image: \"ghcr.io/berriai/litellm:v1.90.0\", command: [sh, -c, \"cp -r /var/lib/litellm/ui/. /app/var/litellm/ui/\"]}\n      containers:\n        - name: litellm\n"),
			Good:   k8s("      containers:\n        - name: litellm\n", "      initContainers:\n        - {name: ui, image: \"ghcr.io/berriai/litellm:v1.91.4\", command: [sh, -c, \"cp -r /var/lib/litellm/ui/. /app/var/litellm/ui/\"]}\n      containers:\n        - name: litellm\n"),
			Check: func(u *Unit) []Hit {
				if u.Container == nil {
					return nil
				}
				var out []Hit
				for _, c := range u.Workload.Init {
					line := ""
					for _, w := range c.Words() {
						line += w.Text + " "
					}
					if strings.Contains(c.Image.Ref, "litellm") && (strings.Contains(line, "ui") || strings.Contains(line, "assets")) && c.Image.Ref != u.Container.Image.Ref {
						out = append(out, hitf(c.Image.Pos, "image", sevWarn, "the UI comes from %s, the API from %s", c.Image.Ref, u.Container.Image.Ref))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "K8S037", Name: "ui-copy-loses-marker", Severity: "warning", Priority: 2, Fix: Manual, Target: facts.LiteLLM, Off: []Profile{Dev},
			Title:  "the copied UI lacks its marker file",
			When:   "an init container copies the UI with /*, which leaves hidden files behind.",
			Why:    "without .litellm_ui_ready LiteLLM rewrites the UI again at every start.",
			Remedy: "copy the directory with /. instead of /*.",
			Source: []string{"LiteLLM production guide, read-only file system, notes"},
			Bad:    k8s("      containers:\n        - name: litellm\n", "      initContainers:\n        - {name: ui, image: \"ghcr.io/berriai/litellm:v1.91.4\", command: [sh, -c, \"cp -r /var/lib/litellm/ui/* /app/var/litellm/ui/\"]}\n      containers:\n        - name: litellm\n"),
			Good:   k8s("      containers:\n        - name: litellm\n", "      initContainers:\n        - {name: ui, image: \"ghcr.io/berriai/litellm:v1.91.4\", command: [sh, -c, \"cp -r /var/lib/litellm/ui/. /app/var/litellm/ui/\"]}\n      containers:\n        - name: litellm\n"),
			Check: func(u *Unit) []Hit {
				if u.Workload == nil {
					return nil
				}
				var out []Hit
				for _, c := range u.Workload.Init {
					for _, w := range c.Words() {
						if strings.Contains(w.Text, "cp ") && strings.Contains(w.Text, "/ui/*") {
							out = append(out, hitf(orPos(w.Pos, c.Name.Pos), "command", sevWarn, "cp .../ui/* leaves the marker file .litellm_ui_ready behind"))
						}
					}
				}
				return out
			},
		},
	)
}
