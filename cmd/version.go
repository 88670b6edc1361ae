package cmd

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/litellm"
)

// version is set by the release build; a plain `go build` takes what the
// toolchain knows.
var version = ""

// buildVersion is llmgw's own version.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

// printBareVersion answers `llmgw --version` and `llmgw serve --version`: the
// line LiteLLM prints, with the release we answer as, then our own.
func printBareVersion(a *app) error {
	_, err := fmt.Fprintf(a.out, "LiteLLM: Current Version = %s\nllmgw %s\n", litellm.Compat, buildVersion())
	return err
}

// versionReport is `llmgw version --format json`.
type versionReport struct {
	Schema  string `json:"schema"`
	Version string `json:"version"`
	LiteLLM string `json:"litellm_version"`
	// Head is the last of the release's migrations that status compares with.
	Head string `json:"migration_head"`
	// Advisories and Prices are the days of the tables of known faults and of
	// prices, as YYYY-MM-DD.
	Advisories string `json:"advisories_date"`
	Prices     string `json:"prices_date"`
	GoVersion  string `json:"go_version"`
	Platform   string `json:"platform"`
}

func newVersionCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version, the LiteLLM release it answers as, and the dates of its data",
		Args:  cobra.NoArgs,
	}
	output := outputVar(c.Flags(), "text", "json")
	c.RunE = func(*cobra.Command, []string) error {
		outs, err := output.open(a)
		if err != nil {
			return err
		}
		defer outs.discard()
		_, prices := catalog.Embedded()
		report := versionReport{
			Schema: "llmgw.version/1", Version: buildVersion(), LiteLLM: litellm.Compat, Head: litellm.MigrationHead(),
			Advisories: litellm.AdvisoriesDate(), Prices: prices,
			GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		}
		err = outs.each(func(w io.Writer, format string) error {
			if format == "json" {
				return writeJSON(w, report)
			}
			_, err := fmt.Fprintf(w, "llmgw       %s\nlitellm     %s (the release it answers as)\nmigrations  %s (its last)\nadvisories  of %s\nprices      of %s\ngo          %s\nplatform    %s\n",
				report.Version, report.LiteLLM, report.Head, report.Advisories, report.Prices, report.GoVersion, report.Platform)
			return err
		})
		if err != nil {
			return err
		}
		return outs.commit()
	}
	return c
}
