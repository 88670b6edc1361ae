package migrate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Gate says whether a database has the tables that a server needs. It looks
// until they are there, and then no more: nobody takes tables away.
type Gate struct {
	p    *Provider
	head bool

	mu      sync.Mutex
	missing string
	cancel  context.CancelFunc
	done    chan struct{}
}

// gateEvery is how often a Gate looks.
const gateEvery = 2 * time.Second

// Needed are the tables that a server reads or writes: those of our own set.
func Needed() []string { return sortedKeys(simulate(Own().Migrations).tables) }

// NewGate returns a gate that is open until Look says otherwise. head also
// demands that every migration of the set is applied.
func (p *Provider) NewGate(head bool) *Gate {
	quiet := *p
	quiet.o.ConnectWait, quiet.o.OnEvent = 0, func(Event) {}
	return &Gate{p: &quiet, head: head}
}

// Missing names what is not there yet; "" is an open gate.
func (g *Gate) Missing() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.missing
}

// Look asks the database once. A database that does not answer says nothing
// about its tables, and the gate stays as it was.
func (g *Gate) Look(ctx context.Context) error {
	missing, err := g.look(ctx)
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.missing = missing
	g.mu.Unlock()
	return nil
}

func (g *Gate) look(ctx context.Context) (string, error) {
	s, err := g.p.connect(ctx)
	if err != nil {
		return "", err
	}
	defer s.close()
	var missing *string
	err = s.conn.QueryRow(ctx, `SELECT min(w.name) FROM unnest($1::text[]) AS w(name)
		WHERE NOT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $2 AND c.relname = w.name AND c.relkind IN ('r', 'p', 'v', 'f'))`,
		Needed(), g.p.target.Schema).Scan(&missing)
	if err != nil {
		return "", s.failure(ctx, "looking for the tables", err)
	}
	if missing != nil {
		return fmt.Sprintf("table %q", *missing), nil
	}
	if !g.head {
		return "", nil
	}
	r, err := g.p.Status(ctx)
	if err != nil {
		return "", err
	}
	if e := r.Err(false); e != nil {
		return e.Message, nil
	}
	return "", nil
}

// Watch looks every two seconds until nothing is missing, or Close is called.
func (g *Gate) Watch(onOpen func()) {
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel, g.done = cancel, make(chan struct{})
	go func() {
		defer close(g.done)
		for sleep(ctx, gateEvery) {
			if err := g.Look(ctx); err != nil {
				e, ok := errors.AsType[*Error](err)
				if ok && e.Usage() {
					return // waiting changes nothing
				}
				continue
			}
			if g.Missing() == "" {
				onOpen()
				return
			}
		}
	}()
}

// Close ends Watch.
func (g *Gate) Close() {
	if g.cancel != nil {
		g.cancel()
		<-g.done
	}
}
