// Package templates holds the Helm chart that llmgw renders from, embedded.
// It holds files and nothing else; only pkg/render reads them.
package templates

import (
	"embed"
	"io/fs"
)

//go:embed all:chart
var files embed.FS

// Chart is the root of the chart: Chart.yaml lies at its top.
func Chart() fs.FS {
	sub, err := fs.Sub(files, "chart")
	if err != nil {
		panic("templates: the embedded chart is gone: " + err.Error())
	}
	return sub
}
