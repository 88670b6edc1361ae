package difftest

import (
	"syscall"
	"testing"
	"time"
)

// halt stops a proxy as it is, until wake.
func halt(t *testing.T, p proxy) {
	t.Helper()
	if err := syscall.Kill(-p.group, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-p.group, syscall.SIGCONT) })
}

func wake(t *testing.T, p proxy) {
	t.Helper()
	if err := syscall.Kill(-p.group, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// end asks a proxy to end and gives it the time to tell others what it has.
func end(p proxy) {
	_ = syscall.Kill(-p.group, syscall.SIGTERM)
	time.Sleep(6 * time.Second)
}
