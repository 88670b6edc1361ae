package catalog

import (
	"maps"
	"slices"
	"strings"
)

// ModelNames are the models of a provider that the price list in use names, as
// deployments name them without the provider.
func ModelNames(provider string) (names []string) {
	if m := costMap.Load(); m != nil {
		for _, name := range slices.Sorted(maps.Keys(m.entries)) {
			if rest, ok := strings.CutPrefix(name, provider+"/"); ok && rest != "" && !strings.Contains(rest, "*") {
				names = append(names, name)
			}
		}
		if names != nil {
			return names
		}
	}
	list := vendors(provider)
	if len(list) == 0 {
		return nil
	}
	for _, m := range embedded().byVendor[list[0]] {
		name := m.id
		if strings.HasPrefix(name, "ft:") || strings.HasSuffix(name, "-") {
			continue // it stands for many
		}
		if provider != "openai" {
			name = provider + "/" + name
		}
		names = append(names, name)
	}
	return names
}
