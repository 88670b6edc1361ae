package cmd

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Exit codes that mean the same in every command.
const (
	exitFine        = 0 // done, and the answer is good
	exitBad         = 1 // done, and the answer is bad: findings, failed migration, missed SLO
	exitUsage       = 2 // usage or configuration
	exitUnreachable = 3 // an outside system could not be reached or would not serve us
)

// exitError carries the exit code of a command to Execute. A nil err means
// that everything worth saying has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usagef is a mistake in the command line or in a configuration: exit 2.
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// unreachable is an outside system that could not be reached: exit 3.
func unreachable(err error) error { return &exitError{exitUnreachable, err} }

// badAnswer ends a command whose work was done with a bad result: exit 1. A
// nil err prints nothing more.
func badAnswer(err error) error { return &exitError{exitBad, err} }

// withCode ends a command with a finer code (10 to 16, only under
// --detailed-exitcode). A nil err prints nothing more.
func withCode(code int, err error) error { return &exitError{code, err} }

// signalError is the cause with which the command's context ends on SIGINT or
// SIGTERM.
type signalError struct{ sig os.Signal }

func (e signalError) Error() string {
	switch e.sig {
	case os.Interrupt:
		return "interrupted by SIGINT"
	case syscall.SIGTERM:
		return "interrupted by SIGTERM"
	}
	return "interrupted by " + e.sig.String()
}

// code is the number a shell shows for a process that the signal ended.
func (e signalError) code() int {
	if s, ok := e.sig.(syscall.Signal); ok {
		return 128 + int(s)
	}
	return 130
}

// exitCodeOf maps the error of a command to the exit code of the process. An
// error without a code of its own is a mistake of the caller's input, since
// everything else is wrapped where it happens.
func exitCodeOf(err error) int {
	if err == nil {
		return exitFine
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return exitUsage
}
