package cmd

import (
	"os"
	"time"

	"github.com/llmgw/llmgw/internal/config"
)

// watchStep is how often --reload looks at the files. They are looked at rather
// than listened to: a mounted ConfigMap changes by a link two directories above.
const watchStep = time.Second

// stamp is what shows that a file has changed.
type stamp struct {
	time time.Time
	size int64
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{size: -1} // gone, or in the middle of being replaced
	}
	return stamp{info.ModTime(), info.Size()}
}

// watched are the files that a reload reads.
func (f *serveFlags) watched(tree *config.Tree) []string {
	var paths []string
	for _, file := range tree.Files() {
		paths = append(paths, file.Name)
	}
	if f.envFile != "" {
		paths = append(paths, f.envFile)
	}
	if f.providers != "" {
		paths = append(paths, f.providers)
	}
	return append(paths, ".env")
}

// watch calls changed when a file has changed and stayed so for one look: who
// writes it is not to be read half-way. It ends with done.
func watch(files func() []string, changed func(), done <-chan struct{}, step time.Duration) {
	seen := map[string]stamp{}
	for _, path := range files() {
		seen[path] = stampOf(path)
	}
	tick := time.NewTicker(step)
	defer tick.Stop()
	moving := false
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		moved := false
		for _, path := range files() {
			now := stampOf(path)
			if before, known := seen[path]; known && before != now {
				moved = true
			}
			seen[path] = now
		}
		if !moved && moving {
			changed()
		}
		moving = moved
	}
}
