package cmd

import "github.com/spf13/cobra"

func newMockCommand(*app) *cobra.Command {
	return &cobra.Command{
		Use:  "mock",
		RunE: func(*cobra.Command, []string) error { return usagef("not in this build yet") },
	}
}
