//go:build !unix

package supervise

import (
	"errors"
	"os"
	"syscall"
)

// Supported says whether sockets can be handed on here.
const Supported = false

// Program is where the program of this process lies.
var Program, _ = os.Executable()

// Inherit finds nothing: sockets are not handed on here.
func Inherit() (*Inherited, error) { return &Inherited{Sockets: &Sockets{}}, nil }

type spec struct {
	role    Role
	stdin   []byte
	without []string
}

type child struct {
	pid      int
	up, down *os.File
}

var errUnsupported = errors.New("sockets cannot be handed on to another process on this system")

func (s *Sockets) start(spec) (*child, error) { return nil, errUnsupported }

func (c *child) tell(string) {}
func (c *child) wait() int   { return 1 }
func (c *child) kill()       {}
func (c *child) close()      {}

// Signals of operators. Replace never comes here.
var (
	Reload  os.Signal = syscall.SIGHUP
	Replace os.Signal = syscall.Signal(0x1f)
)
