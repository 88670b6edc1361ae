package cmd

import "github.com/spf13/cobra"

func newMigrateCommand(*app) *cobra.Command {
	return &cobra.Command{
		Use:  "migrate",
		RunE: func(*cobra.Command, []string) error { return usagef("not in this build yet") },
	}
}
