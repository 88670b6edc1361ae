package cmd

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// newSleepCommand is for preStop hooks in images without a shell, on
// Kubernetes before 1.30, which has no sleep action.
func newSleepCommand(*app) *cobra.Command {
	return &cobra.Command{
		Use:    "sleep DURATION",
		Short:  "Wait, for preStop hooks in images without a shell",
		Hidden: true,
		Args:   exactArgs(1, "a duration such as 5s"),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := parseDuration(args[0])
			if err != nil {
				return usagef("%w", err)
			}
			timer := time.NewTimer(d)
			defer timer.Stop()
			select {
			case <-timer.C:
				return nil
			case <-c.Context().Done():
				return context.Cause(c.Context())
			}
		},
	}
}

// exactArgs is cobra.ExactArgs with a sentence that says what is missing.
func exactArgs(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("needs %s; got %d arguments; see %s --help", what, len(args), c.CommandPath())
		}
		return nil
	}
}
