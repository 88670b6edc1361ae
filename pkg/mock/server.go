package mock

import (
	"context"
	"errors"
	"net"
	"net/http"
	"runtime"
	"time"
)

// Serve answers on ln until ctx ends, then lets whole answers finish for a
// moment, cuts what hangs and returns nil. busy, if set, is called once when
// the mock itself needs more than 85 % of its CPUs over five seconds: from
// then on it measures itself, not the gateway.
func (m *Mock) Serve(ctx context.Context, ln net.Listener, busy func(share float64)) error {
	srv := &http.Server{
		Handler:           m,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		m.Close()
		grace, done := context.WithTimeout(context.Background(), 2*time.Second)
		defer done()
		if srv.Shutdown(grace) != nil {
			_ = srv.Close()
		}
	}()
	if busy != nil {
		go watchCPU(ctx, busy)
	}
	err := srv.Serve(ln)
	cancel()
	<-stopped
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

const busyWindow = 5 * time.Second

func watchCPU(ctx context.Context, busy func(float64)) {
	tick := time.NewTicker(busyWindow)
	defer tick.Stop()
	last, ok := cpuTime()
	for ok {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var now time.Duration
		now, ok = cpuTime()
		share := float64(now-last) / float64(busyWindow) / float64(runtime.GOMAXPROCS(0))
		if ok && share > 0.85 {
			busy(share)
			return
		}
		last = now
	}
}
