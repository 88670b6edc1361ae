package cmd

import "github.com/spf13/cobra"

func newConfigCommand(*app) *cobra.Command {
	return &cobra.Command{
		Use:  "config",
		RunE: func(*cobra.Command, []string) error { return usagef("not in this build yet") },
	}
}
