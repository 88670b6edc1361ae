package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// sampler reads what a process of the target and its children have used.
type sampler struct {
	pid     int
	started string // start time of the process, to notice that another took its place

	last     time.Duration
	lastTime time.Duration
}

func newSampler(pid int) (*sampler, error) {
	s := &sampler{pid: pid}
	st, err := readStat(pid)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("--pid %d: no such process", pid)
		}
		return nil, fmt.Errorf("--pid %d: %w", pid, err)
	}
	s.started = st.started
	return s, nil
}

// read sums over the process and all its descendants.
func (s *sampler) read() (usage, error) {
	st, err := readStat(s.pid)
	if err != nil {
		return usage{}, err
	}
	if st.started != s.started {
		return usage{}, fmt.Errorf("process %d is another one than at the start", s.pid)
	}
	var u usage
	pids := []int{s.pid}
	for i := 0; i < len(pids) && i < 4096; i++ {
		one, err := readUsage(pids[i])
		if err != nil {
			continue // a child that ended meanwhile
		}
		u.add(one)
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pids[i]))
		if err != nil {
			continue
		}
		for _, t := range tasks {
			if b, err := os.ReadFile(t + "/schedstat"); err == nil {
				ns, _, _ := strings.Cut(string(b), " ")
				n, _ := strconv.ParseInt(ns, 10, 64)
				u.exact += time.Duration(n)
			}
			b, err := os.ReadFile(t + "/children")
			if err != nil {
				continue
			}
			for f := range strings.FieldsSeq(string(b)) {
				if n, err := strconv.Atoi(f); err == nil {
					pids = append(pids, n)
				}
			}
		}
	}
	return u, nil
}

// rate is the CPUs used since the last call.
func (s *sampler) rate(u usage, now time.Duration) float64 {
	var r float64
	if s.lastTime > 0 && now > s.lastTime {
		r = float64(u.cpu-s.last) / float64(now-s.lastTime)
	}
	s.last, s.lastTime = u.cpu, now
	return r
}

type stat struct {
	started      string
	utime, stime int64
	threads      int
}

// readStat reads /proc/PID/stat. The command name, which may hold spaces and
// brackets, ends at the last bracket.
func readStat(pid int) (stat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(b)
}

func parseStat(b []byte) (stat, error) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return stat{}, errors.New("/proc/PID/stat has no command name")
	}
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 20 {
		return stat{}, errors.New("/proc/PID/stat is too short")
	}
	// Fields are numbered from 1 in proc(5); f[0] is number 3.
	var st stat
	var errs [3]error
	st.utime, errs[0] = strconv.ParseInt(f[14-3], 10, 64)
	st.stime, errs[1] = strconv.ParseInt(f[15-3], 10, 64)
	st.threads, errs[2] = strconv.Atoi(f[20-3])
	st.started = f[22-3]
	return st, errors.Join(errs[:]...)
}

// tick is the unit of CPU time in /proc, 1/100 s on every Linux that Go runs on.
const tick = 10 * time.Millisecond

func readUsage(pid int) (usage, error) {
	st, err := readStat(pid)
	if err != nil {
		return usage{}, err
	}
	u := usage{cpu: time.Duration(st.utime+st.stime) * tick, threads: st.threads}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
		u.rss = statusKB(b, "VmRSS:") << 10
		u.peak = statusKB(b, "VmHWM:") << 10
	}
	if list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
		u.fds = len(list)
	}
	return u, nil
}

func statusKB(b []byte, name string) int64 {
	_, rest, ok := bytes.Cut(b, []byte("\n"+name))
	if !ok {
		return 0
	}
	f := bytes.Fields(rest)
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(string(f[0]), 10, 64)
	return n
}
