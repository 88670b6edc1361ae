// Command llmgw is a gateway for large language models and the tools around
// it. See docs/ARCHITECTURE.md for the way from here to the last byte.
package main

import (
	"os"

	"github.com/llmgw/llmgw/cmd"
)

func main() { os.Exit(cmd.Execute(os.Args, cmd.SystemStreams())) }
