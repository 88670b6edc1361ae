package catalog

// hasModel reports whether a provider's catalogue lists exactly this model.
func hasModel(provider, name string) bool { return false }
