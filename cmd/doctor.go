package cmd

import "github.com/spf13/cobra"

func newDoctorCommand(*app) *cobra.Command {
	return &cobra.Command{
		Use:  "doctor",
		RunE: func(*cobra.Command, []string) error { return usagef("not in this build yet") },
	}
}
