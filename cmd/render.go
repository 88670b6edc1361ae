package cmd

import "github.com/spf13/cobra"

func newRenderCommand(*app) *cobra.Command {
	return &cobra.Command{
		Use:  "render",
		RunE: func(*cobra.Command, []string) error { return usagef("not in this build yet") },
	}
}
