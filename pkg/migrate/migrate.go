// Package migrate brings a PostgreSQL database to the schema that a folder of
// SQL migrations describes, with the history table, the checksums, the order
// and the error codes of Prisma Migrate, so that both tools can take turns on
// one database. It needs no Node, no engine and no writable disk.
//
// What it does better than its model is written down in
// docs/compatibility.md: it polls for the lock instead of waiting inside a
// statement, a script and the note that it ran are one transaction, a signal
// cancels what runs, sessions do not leak from one file into the next, and a
// transaction pooler is refused before it can orphan the lock.
//
// A [Provider] is built once from a database and a [Set]; its methods return
// typed results and print nothing. The package never shows a password and
// never deletes a row of the history.
package migrate

import (
	"sync"
	"time"

	"github.com/llmgw/llmgw/internal/pgurl"
)

// LockKey is the key of the advisory lock, the same as Prisma's, so that the
// two tools exclude each other.
const LockKey = 72707369

// Options are what a caller may set. The zero value is a plain `deploy`.
type Options struct {
	// LockTimeout is how long to poll for the advisory lock; 0 is 10 s, or
	// 15 min with Wait.
	LockTimeout time.Duration
	// Wait lets another migration finish, however long it takes up to
	// LockTimeout.
	Wait bool
	// NoLock does without the advisory lock.
	NoLock bool
	// DDLLockTimeout is how long a statement of an atomic file may wait for a
	// table's lock before the file is rolled back and tried again; 0 is 5 s,
	// negative no limit.
	DDLLockTimeout time.Duration
	// StatementTimeout limits each statement; 0 is none.
	StatementTimeout time.Duration
	// MaxRetries is how often a file is tried again after a lock timeout or a
	// deadlock; 0 is 10, negative none.
	MaxRetries int
	// CancelGrace is how long a cancelled statement may take to stop; 0 is 20 s.
	CancelGrace time.Duration
	// ConnectWait is how long to retry a database that does not answer; 0 is
	// not at all.
	ConnectWait time.Duration
	// To stops after this migration.
	To string
	// Strict makes edited and missing migrations an error.
	Strict bool
	// RetryFailed takes a failed row of our own for rolled back if the server
	// is known to have kept nothing of it.
	RetryFailed bool
	// Auto says that nobody asked for the set: on a database with LiteLLM's
	// history our own gives way to LiteLLM's manifest.
	Auto bool
	// AutoBaseline lets Deploy give a database without a history one, if its
	// schema shows no migration in part.
	AutoBaseline bool
	// OnlineIndexes builds the indexes of index-only files concurrently, after
	// the other files; on partitioned tables for each partition.
	OnlineIndexes bool
	// SkipIndexMigrations records index-only files without building anything.
	SkipIndexMigrations bool
	// SplitConcurrent runs a file statement by statement when one of its
	// statements cannot run inside a transaction.
	SplitConcurrent bool
	// RepairInvalid drops an invalid index whose name a file wants to use.
	RepairInvalid bool
	// AcceptRewrite lets a file write a large table anew under a lock.
	AcceptRewrite bool
	// AllowDrop lets a file drop tables and columns that hold something.
	AllowDrop bool
	// AllowPooler goes through a transaction pooler: each file is one
	// transaction with a lock of its own.
	AllowPooler bool
	// Notify tells listening servers that the schema has changed.
	Notify bool
	// DryRun stops before the first change.
	DryRun bool
	// OnEvent is called for each step, from one goroutine at a time; the run
	// waits for it.
	OnEvent func(Event)
	// CancelledBy names what ended the context (SIGTERM, SIGINT, --timeout)
	// for texts and the history; nil is "the caller".
	CancelledBy func(cause error) string
}

func (o Options) withDefaults() Options {
	if o.LockTimeout == 0 {
		o.LockTimeout = 10 * time.Second
		if o.Wait {
			o.LockTimeout = 15 * time.Minute
		}
	}
	if o.DDLLockTimeout == 0 {
		o.DDLLockTimeout = 5 * time.Second
	}
	if o.MaxRetries == 0 {
		o.MaxRetries = 10
	}
	if o.CancelGrace == 0 {
		o.CancelGrace = 20 * time.Second
	}
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	if o.CancelledBy == nil {
		o.CancelledBy = func(error) string { return "the caller" }
	}
	return o
}

// Provider migrates one database with one set of migrations.
type Provider struct {
	target *pgurl.Target
	set    *Set
	o      Options

	events *sync.Mutex // a second connection reports, too
}

// New returns a provider for the database that target addresses. It connects
// to nothing.
func New(target *pgurl.Target, set *Set, o Options) *Provider {
	return &Provider{target: target, set: set, o: o.withDefaults(), events: new(sync.Mutex)}
}

// Event is one step of a run, for progress and for `--format jsonl`.
type Event struct {
	Event      string    `json:"event"`
	Time       time.Time `json:"time"`
	Migration  string    `json:"migration,omitempty"`
	Mode       Mode      `json:"mode,omitempty"`
	Statement  int       `json:"statement,omitempty"`  // from 1
	Statements int       `json:"statements,omitempty"` // of how many
	Tag        string    `json:"tag,omitempty"`        // what the server answered: CREATE TABLE
	Doing      string    `json:"doing,omitempty"`      // migration_started: the statement of a file that has one, without its literals
	DurationMS int64     `json:"duration_ms,omitempty"`
	Holder     *Holder   `json:"holder,omitempty"`     // lock_wait: who has it
	Blockers   []Holder  `json:"blocked_by,omitempty"` // blocked_by: whose locks the statement waits for
	Phase      string    `json:"phase,omitempty"`      // progress: of an index build
	Percent    float64   `json:"percent,omitempty"`
	Done       int64     `json:"done,omitempty"` // of Total blocks or rows, as Message says
	Total      int64     `json:"total,omitempty"`
	Pending    int       `json:"pending,omitempty"` // planned: how many will be applied
	Attempt    int       `json:"attempt,omitempty"`
	Code       string    `json:"code,omitempty"`
	SQLState   string    `json:"sqlstate,omitempty"`
	Message    string    `json:"message,omitempty"`
}

// The words of Event.Event.
const (
	EventConnectRetry      = "connect_retry"
	EventWaiting           = "waiting"
	EventLockWait          = "lock_wait"
	EventLockAcquired      = "lock_acquired"
	EventPlanned           = "planned"
	EventMigrationStarted  = "migration_started"
	EventStatementDone     = "statement_done"
	EventBlockedBy         = "blocked_by"
	EventProgress          = "progress"
	EventMigrationRetry    = "migration_retry"
	EventMigrationFinished = "migration_finished"
	EventMigrationFailed   = "migration_failed"
	EventWarning           = "warning"
)

func (p *Provider) emit(e Event) {
	p.events.Lock()
	defer p.events.Unlock()
	e.Time = time.Now().UTC()
	p.o.OnEvent(e)
}

// Database describes where a result comes from.
type Database struct {
	Host          string `json:"host"`
	Port          int    `json:"port"`
	Name          string `json:"name"`
	Schema        string `json:"schema"`
	ServerVersion string `json:"server_version,omitempty"`
	Pooler        bool   `json:"pooler"`
}

// Warning is something a reader should know although the work goes on.
type Warning struct {
	Rule      string `json:"rule,omitempty"`
	Migration string `json:"migration,omitempty"`
	Message   string `json:"message"`
}
