package rule

func init() {
	register(&Rule{
		ID: "K8S042", Name: "unstable-render", Severity: "warning", Priority: 2, Fix: Manual, Engine: true, Off: []Profile{Dev},
		Title:  "two renders of a chart differ",
		When:   "a chart is rendered twice with the same values, and its templates give different texts.",
		Why:    "a password or a time that is made anew with every render rolls the pods and changes the secret at each upgrade; Argo CD never sees the application in sync.",
		Remedy: "set the value that the template makes up (masterkey or masterkeySecretName in LiteLLM's chart), or read it from a Secret that exists.",
		Source: []string{"Argo CD, Helm guide", "litellm-helm"},
		Bad:    chartExample("{{ randAlphaNum 17 }}"),
		Good:   chartExample("{{ required \"masterkey\" .Values.masterkey }}"),
	})
}

// chartExample is a chart that makes a Secret.
func chartExample(value string) Example {
	secret := "---\napiVersion: v1\nkind: Secret\nmetadata: {name: litellm-masterkey}\nstringData:\n  masterkey: " + value + "\n"
	return Example{
		Extra: map[string]string{"chart/Chart.yaml": "apiVersion: v2\nname: gateway\nversion: 1.0.0\n", "chart/templates/all.yaml": baseManifest + secret},
		Show:  "stringData:\n  masterkey: " + value,
	}
}
