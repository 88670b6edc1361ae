// Package testenv gives tests real servers to talk to: PostgreSQL and Redis
// on random loopback ports, started at the first use in a test process and
// gone soon after it, also when it crashed; and what tests of several packages
// need beside them, as certificates.
//
// Tests import it; nothing else may. Nothing runs at import: a package that
// does not call it pays nothing. A component that is not installed skips the
// test with a line that starts "testenv: skipped" and can be counted; with
// CI=true it fails the test instead, so that a gate never goes green because
// something was missing.
package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"testing"
)

// Need returns the path of a program that the test cannot do without
// ("nginx", "node", "postgres", "redis-server"). It looks in PATH and in the
// places where distributions hide server binaries. Under -short, the inner loop,
// no other program is started and the test is skipped.
func Need(t testing.TB, program string) string {
	t.Helper()
	if testing.Short() {
		t.Skipf("testenv: skipped, -short starts no %s", program)
	}
	path, ok := lookPath(program)
	if !ok {
		missing(t, program, "install it, or put it into PATH")
	}
	return path
}

// NeedFile returns path if it exists; what names it for the reader and how
// says how to get it.
func NeedFile(t testing.TB, path, what, how string) string {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		missing(t, what, how)
	}
	return path
}

// EndAtOnce lets the programs that a test starts end when they are done. One
// that is built with the race detector, a test binary above all, sleeps for a
// second first, in case another goroutine races meanwhile; reports that have
// begun are waited for all the same. TestMain calls it.
func EndAtOnce() {
	const option = "atexit_sleep_ms="
	if set := os.Getenv("GORACE"); !strings.Contains(set, option) {
		os.Setenv("GORACE", strings.TrimSpace(option+"0 "+set))
	}
}

// Data returns the folder with test data that is not part of the repository:
// LLMGW_TESTDATA if set, else shared/data beside the repository.
func Data(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("LLMGW_TESTDATA"); dir != "" {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			t.Fatalf("testenv: LLMGW_TESTDATA=%s is not a folder", dir)
		}
		return dir
	}
	root := repositoryRoot(t)
	dir := filepath.Join(root, "..", "shared", "data")
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		missing(t, "test data", "set LLMGW_TESTDATA to the folder")
	}
	return dir
}

// CacheDir is where tests keep what they downloaded between runs
// (LLMGW_TEST_CACHE, else llmgw-test in the user's cache folder).
func CacheDir(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("LLMGW_TEST_CACHE"); dir != "" {
		return dir
	}
	base, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("testenv: no cache folder: %v; set LLMGW_TEST_CACHE", err)
	}
	return filepath.Join(base, "llmgw-test")
}

// NeedPython returns a Python that can import the module, as Need does for
// programs; pkg is the Debian package that holds the module.
func NeedPython(t testing.TB, module, pkg string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("testenv: skipped, -short starts no python3")
	}
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if path, ok := lookPath(python); ok && exec.Command(path, "-c", "import "+module).Run() == nil {
			return path
		}
	}
	missing(t, "a python3 with "+module, "Debian: "+pkg)
	return ""
}

// missing ends the test: skipped on a developer's machine, failed in CI.
func missing(t testing.TB, what, how string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("testenv: %s missing (%s); with CI=true that is a failure", what, how)
	}
	t.Skipf("testenv: skipped, %s missing (%s)", what, how)
}

func lookPath(program string) (string, bool) {
	// Another release of PostgreSQL than the one that would be found.
	if dir := os.Getenv("LLMGW_POSTGRES_BIN"); dir != "" && (program == "postgres" || program == "initdb") {
		path := filepath.Join(dir, program)
		_, err := os.Stat(path)
		return path, err == nil
	}
	if path, err := exec.LookPath(program); err == nil {
		return path, true
	}
	patterns := []string{
		"/usr/lib/postgresql/*/bin/" + program, // Debian keeps servers out of PATH
		"/usr/pgsql-*/bin/" + program,
		"/opt/homebrew/opt/postgresql@*/bin/" + program,
		"/usr/local/opt/postgresql@*/bin/" + program,
		"/usr/local/sbin/" + program,
		"/usr/sbin/" + program,
		"/sbin/" + program,
	}
	for _, pattern := range patterns {
		found, _ := filepath.Glob(pattern)
		sort.Slice(found, func(i, j int) bool { return versionIn(found[i]) > versionIn(found[j]) })
		for _, path := range found {
			if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
				return path, true
			}
		}
	}
	return "", false
}

// versionIn reads the first number of a path such as
// /usr/lib/postgresql/15/bin, so that 15 sorts above 9.
func versionIn(path string) int {
	n, seen := 0, false
	for _, r := range path {
		if r >= '0' && r <= '9' {
			n, seen = n*10+int(r-'0'), true
		} else if seen {
			break
		}
	}
	return n
}

func repositoryRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err == nil {
		for ; ; dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				return dir
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	// The test changed its working directory; fall back to this file's place.
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		return filepath.Dir(filepath.Dir(filepath.Dir(file)))
	}
	t.Fatal("testenv: no go.mod above the working directory")
	return ""
}

// tail returns the last lines of a server's log for an error message.
func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
