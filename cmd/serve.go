package cmd

import "github.com/spf13/cobra"

func newServeCommand(*app) *cobra.Command {
	return &cobra.Command{
		Use:  "serve",
		RunE: func(*cobra.Command, []string) error { return usagef("not in this build yet") },
	}
}
