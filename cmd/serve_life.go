package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/pkg/proxy/server"
	"github.com/llmgw/llmgw/pkg/proxy/supervise"
)

// life is how a serve came to be, and how it gives way to another: alone, as the
// supervisor of a worker, as that worker, or in the place of an older process.
type life struct {
	a     *app
	f     *serveFlags
	given *supervise.Inherited
	// stdin is the configuration that came through standard input, for the
	// processes that are started later.
	stdin []byte
	log   *slog.Logger
}

func newLife(a *app, f *serveFlags) (*life, error) {
	given, err := supervise.Inherit()
	return &life{a: a, f: f, given: given, log: slog.New(slog.DiscardHandler)}, err
}

// read keeps a configuration that cannot be read again.
func (l *life) read(tree *config.Tree) {
	if files := tree.Files(); l.f.fromStdin(tree) && len(files) > 0 {
		l.stdin = files[0].Data
	}
}

// fromStdin reports whether the configuration came through standard input.
func (f *serveFlags) fromStdin(tree *config.Tree) bool {
	return f.config == "-" && tree.Env().Get("CONFIG_FILE_PATH") == ""
}

// supervises reports whether this process holds the sockets for a worker.
func (l *life) supervises(s *settings) bool {
	return supervise.Supported && s.recycle > 0 && !l.given.Works() && !l.f.skipStartup
}

// supervise holds the sockets, and a worker that serves on them.
func (l *life) supervise(ctx context.Context, s *settings) error {
	l.log = s.logger(l.a)
	sockets := l.given.Sockets
	defer sockets.Close()
	for _, want := range []struct {
		name, host string
		port       int
		what       string
	}{
		{supervise.Gateway, s.facts.Host, s.facts.Port, ""},
		{supervise.Health, s.facts.Host, s.health, "health port: "},
		{supervise.Metrics, s.facts.Host, s.facts.MetricsPort, "the metrics port: "},
		{supervise.Profile, "127.0.0.1", s.profile, "the profile port: "},
	} {
		if want.port == 0 && want.name != supervise.Gateway {
			continue
		}
		if _, err := server.Bind(sockets.Listen, want.name, want.host, want.port); err != nil {
			return usagef("%s%w", want.what, err)
		}
	}
	sockets.CloseGiven()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, supervise.Reload, supervise.Replace)
	defer signal.Stop(signals)
	sup := &supervise.Supervisor{
		Sockets: sockets, Stdin: l.stdin, Signals: signals, Log: l.log, Ready: l.ready,
	}
	settle := newSettler()
	defer settle.stop()
	settle.after(time.Second)
	err := sup.Run(ctx)
	if exit, ok := errors.AsType[*supervise.ExitError](err); ok {
		return withCode(exit.Code, nil)
	}
	if err != nil {
		return unreachable(fmt.Errorf("serve: %w", err))
	}
	return nil
}

// ready tells whoever has started the process that it serves.
func (l *life) ready() {
	l.given.Sockets.CloseGiven()
	l.given.Ready()
	if !l.given.Works() {
		supervise.NotifyReady()
	}
}

// counter counts the requests of a worker; nil where nobody wants to know.
func (l *life) counter(s *settings) func() {
	if !l.given.Works() || s.recycle <= 0 {
		return nil
	}
	limit := int64(s.recycle)
	if s.recycleJitter > 0 {
		limit += rand.Int64N(int64(s.recycleJitter) + 1) //nolint:gosec // spreads restarts, no secret
	}
	var n atomic.Int64
	return func() {
		if n.Add(1) == limit {
			l.given.Enough()
		}
	}
}

// follow obeys signals, and for a worker its supervisor. The context that it
// returns ends when the gateway shall drain.
func (l *life) follow(ctx context.Context, g *gateway) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	l.log = g.reloader.s.logger(l.a)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, supervise.Reload, supervise.Replace)
	done := make(chan struct{})
	var one sync.Mutex // reloads come one by one
	reload := func() {
		one.Lock()
		defer one.Unlock()
		g.reload()
		l.given.Reloaded()
	}
	if l.f.reload {
		go watch(func() []string { return *g.reloader.watched.Load() }, reload, done, watchStep)
	}
	if l.given.Works() {
		// The supervisor passes them on; whoever signals every process of the
		// service must not have things done twice.
		go drop(signals, done)
		go l.given.Follow(supervise.Orders{
			HandOver: g.proxy.HandOver, Reload: reload, Drain: g.proxy.BeginDrain,
			Stop: func() { cancel(signalError{syscall.SIGTERM}) },
		})
	} else {
		go l.obey(ctx, signals, done, g, reload)
	}
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}

func drop(signals <-chan os.Signal, done <-chan struct{}) {
	for {
		select {
		case <-signals:
		case <-done:
			return
		}
	}
}

// obey reloads, and gives way to another process.
func (l *life) obey(ctx context.Context, signals <-chan os.Signal, done <-chan struct{}, g *gateway, reload func()) {
	ended := ctx.Done()
	for {
		select {
		case sig := <-signals:
			switch {
			case ctx.Err() != nil: // draining
			case sig == supervise.Reload:
				supervise.NotifyReloading()
				reload()
				supervise.NotifyReady()
			default:
				if err := supervise.HandOver(l.given.Sockets, l.stdin, l.log); err != nil {
					l.log.Error("the program was not replaced, this one goes on: " + err.Error())
					continue
				}
				g.proxy.HandOver()
			}
		case <-ended:
			ended = nil
			supervise.NotifyStopping()
		case <-done:
			return
		}
	}
}
