package cmd

import (
	"path/filepath"
	"slices"
	"strings"
)

// rewriteArgs turns LiteLLM's bare argument list into a serve command, so that
// container arguments written for LiteLLM keep working:
//
//   - called under the name litellm, everything goes to serve;
//   - a first argument that is a flag goes to serve, except help, version and
//     the global flags standing alone or before a command name;
//   - no argument at all shows the help.
//
// args is os.Args; the result has no program name.
func rewriteArgs(args []string) []string {
	if len(args) == 0 {
		return nil
	}
	program := strings.TrimSuffix(filepath.Base(args[0]), ".exe")
	rest := slices.Clone(args[1:])
	if program == "litellm" {
		return append([]string{"serve"}, rest...)
	}
	if len(rest) == 0 || !strings.HasPrefix(rest[0], "-") {
		return rest
	}
	after := skipGlobalFlags(rest)
	if len(after) == 0 || !strings.HasPrefix(after[0], "-") {
		return rest
	}
	if len(after) == 1 && slices.Contains([]string{"-h", "--help", "-v", "--version"}, after[0]) {
		return rest
	}
	return append([]string{"serve"}, rest...)
}

// skipGlobalFlags drops the leading flags that every command has.
func skipGlobalFlags(args []string) []string {
	for len(args) > 0 {
		switch a := args[0]; {
		case a == "--no-color", a == "--no_color", a == "-q", a == "--quiet":
			args = args[1:]
		case strings.HasPrefix(a, "--color="):
			args = args[1:]
		case a == "--color" && len(args) > 1:
			args = args[2:]
		default:
			return args
		}
	}
	return args
}
