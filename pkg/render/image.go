package render

import (
	"regexp"
	"strings"
)

// image is a container image reference, split.
type image struct {
	ref    string
	tag    string
	digest string
}

var (
	imageRef   = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*(?::[0-9]+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@[a-z0-9]+:[0-9a-f]{32,})?$`)
	hasRelease = regexp.MustCompile(`\d+\.\d+\.\d+`)
	ownRelease = regexp.MustCompile(`^v?(\d+\.\d+\.\d+(?:-(?:alpha|beta|rc)[.0-9]*)?)$`)
	unsafe     = regexp.MustCompile(`[^A-Za-z0-9_.-]`)
)

func parseImage(ref string) (image, bool) {
	im := image{ref: ref}
	if !imageRef.MatchString(ref) {
		return im, false
	}
	name, digest, _ := strings.Cut(ref, "@")
	im.digest = digest
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		im.tag = name[i+1:]
	}
	return im, true
}

// moving reports whether the reference can mean another image tomorrow.
func (im image) moving() bool {
	return im.digest == "" && !hasRelease.MatchString(im.tag)
}

// pullPolicy asks the registry again only where the answer can change.
func (im image) pullPolicy() string {
	if im.moving() {
		return "Always"
	}
	return "IfNotPresent"
}

// version is the value of the version label.
func (im image) version() string {
	v := im.tag
	if im.digest != "" {
		_, hex, _ := strings.Cut(im.digest, ":")
		v = hex[:12]
	}
	if v == "" {
		v = "latest"
	}
	v = unsafe.ReplaceAllString(v, "-")
	return strings.Trim(v[:min(len(v), 63)], "-_.")
}

// ownImage is the image of an llmgw release; a build that is none has no image
// of its own.
func ownImage(version string) string {
	if m := ownRelease.FindStringSubmatch(version); m != nil {
		return "ghcr.io/llmgw/llmgw:" + m[1]
	}
	return "ghcr.io/llmgw/llmgw:dev"
}
