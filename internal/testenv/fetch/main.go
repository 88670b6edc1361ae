// Command fetch downloads what some tests compare with and what may not be
// part of the repository: LiteLLM's migrations and Prisma's schema engine. It
// uses pip and npm as they are set up, and writes into the tests' cache folder
// (LLMGW_TEST_CACHE, else llmgw-test in the user's cache folder).
//
//	go run ./internal/testenv/fetch            # everything
//	go run ./internal/testenv/fetch extras     # LiteLLM's migrations
//	go run ./internal/testenv/fetch prisma     # Prisma's engine, needs npm
//	go run ./internal/testenv/fetch squawk     # the linter squawk, needs npm
//	go run ./internal/testenv/fetch litellm    # the proxy itself, some 700 MB
//	go run ./internal/testenv/fetch -missing   # what is not there yet
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	vocabulary "github.com/llmgw/llmgw/internal/litellm"
)

// Pinned, so that a test means the same tomorrow.
var (
	// The proxy imports its Prisma client even without a database.
	litellm = []string{"litellm[proxy]==" + vocabulary.Compat, "prisma==0.15.0", "prometheus_client==0.26.0"}

	// The release that llmgw answers as is 0.4.108; the others are a chain of
	// upgrades, the oldest with 20 migrations.
	extras = []string{"0.1.21", "0.2.31", "0.4.10", "0.4.40", "0.4.70", "0.4.90", "0.4.108", "0.4.110"}
	squawk = "squawk-cli@2.66.0"
	prisma = []string{
		"@prisma/schema-engine-wasm@7.1.1-3.c2990dca591cba766e3b7ef5d9e8a84796e47ab7",
		"@prisma/adapter-pg@6.19.3",
		"@prisma/driver-adapter-utils@6.19.3",
	}
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		os.Exit(1)
	}
}

func run(what []string) error {
	onlyMissing := len(what) > 0 && what[0] == "-missing"
	if onlyMissing {
		what = what[1:]
	}
	if len(what) == 0 {
		what = []string{"extras", "prisma", "squawk"}
	}
	cache := os.Getenv("LLMGW_TEST_CACHE")
	if cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		cache = filepath.Join(base, "llmgw-test")
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	for _, w := range what {
		if onlyMissing && there(cache, w) {
			continue
		}
		var cmd *exec.Cmd
		switch w {
		case "extras":
			dir := filepath.Join(cache, "extras")
			for _, version := range extras {
				if err := wheel(dir, version); err != nil {
					return err
				}
			}
			continue
		case "prisma":
			dir := filepath.Join(cache, "prisma")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			// The install scripts would fetch native engines from elsewhere.
			cmd = exec.Command("npm", append([]string{"install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", "--silent"}, prisma...)...)
		case "squawk":
			cmd = exec.Command("npm", "install", "--prefix", filepath.Join(cache, "squawk"), "--ignore-scripts", "--no-audit", "--no-fund", "--silent", squawk)
		case "litellm":
			dir := filepath.Join(cache, "litellm")
			if out, err := exec.Command("python3", "-m", "venv", dir).CombinedOutput(); err != nil {
				return fmt.Errorf("python3 -m venv: %w: %s", err, out)
			}
			cmd = exec.Command(filepath.Join(dir, "bin", "pip"), append([]string{"install", "--quiet"}, litellm...)...)
		default:
			return fmt.Errorf("%s: say extras, prisma, squawk or litellm", w)
		}
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("fetching %s: %w", w, err)
		}
	}
	if !onlyMissing {
		fmt.Println(cache)
	}
	return nil
}

// there reports whether an earlier run brought the pinned version.
func there(cache, what string) bool {
	var files []string
	switch what {
	case "extras":
		for _, version := range extras {
			files = append(files, filepath.Join("extras", "litellm_proxy_extras-"+version+"-*.whl"))
		}
	case "litellm":
		files = []string{filepath.Join("litellm", "lib", "python3*", "site-packages", "litellm-"+vocabulary.Compat+".dist-info"), filepath.Join("litellm", "lib", "python3*", "site-packages", "prometheus_client"), filepath.Join("litellm", "bin", "litellm")}
	case "squawk":
		files = []string{filepath.Join("squawk", "node_modules", "squawk-cli", "package.json")}
	case "prisma":
		for _, p := range prisma {
			name := p[:strings.LastIndex(p, "@")]
			files = append(files, filepath.Join("prisma", "node_modules", name, "package.json"))
		}
	}
	for _, pattern := range files {
		if found, _ := filepath.Glob(filepath.Join(cache, pattern)); len(found) == 0 {
			return false
		}
	}
	return len(files) > 0
}

// wheel downloads one release unless it is there.
func wheel(dir, version string) error {
	if found, _ := filepath.Glob(filepath.Join(dir, "litellm_proxy_extras-"+version+"-*.whl")); len(found) > 0 {
		return nil
	}
	cmd := exec.Command("python3", "-m", "pip", "download", "--quiet", "--no-deps", "--dest", dir, "litellm-proxy-extras=="+version)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("fetching litellm-proxy-extras %s: %w", version, err)
	}
	return nil
}
