package render

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
)

// kubeVersion is the Kubernetes release that objects are rendered for.
type kubeVersion struct{ minor int }

// The oldest release whose fields the chart uses without asking.
const oldestMinor = 27

var kubeText = regexp.MustCompile(`^v?1\.(\d{1,3})(?:\.\d+)?$`)

func parseKube(text string) (kubeVersion, error) {
	m := kubeText.FindStringSubmatch(text)
	if m == nil {
		return kubeVersion{}, errors.New("write it as 1.31")
	}
	minor, err := strconv.Atoi(m[1])
	if err != nil || minor < oldestMinor {
		return kubeVersion{}, fmt.Errorf("1.%d is the oldest release that is rendered for", oldestMinor)
	}
	return kubeVersion{minor}, nil
}

func (k kubeVersion) String() string { return fmt.Sprintf("1.%d", k.minor) }
