package cmd

import "github.com/spf13/cobra"

func newBenchCommand(*app) *cobra.Command {
	return &cobra.Command{
		Use:  "bench",
		RunE: func(*cobra.Command, []string) error { return usagef("not in this build yet") },
	}
}
