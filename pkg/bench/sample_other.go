//go:build !linux

package bench

import (
	"errors"
	"time"
)

// sampler needs /proc.
type sampler struct{}

func newSampler(int) (*sampler, error) {
	return nil, errors.New("--pid needs Linux: other systems have no /proc to read")
}

func (*sampler) read() (usage, error)              { return usage{}, errors.ErrUnsupported }
func (*sampler) rate(usage, time.Duration) float64 { return 0 }
