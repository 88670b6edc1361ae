package migrate

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// Checksum is what the history stores for a file: the SHA-256 of its bytes in
// lower-case hexadecimal.
func Checksum(sql string) string {
	sum := sha256.Sum256([]byte(sql))
	return hex.EncodeToString(sum[:])
}

// sameChecksum reports whether a stored checksum belongs to the text, with its
// line ends as they are, as Unix or as Windows has them. Early versions of
// Prisma left out leading zeros of each byte; such a value is shorter.
func sameChecksum(stored, sql string) bool {
	unix := strings.ReplaceAll(sql, "\r\n", "\n")
	for _, text := range []string{sql, unix, strings.ReplaceAll(unix, "\n", "\r\n")} {
		if stored == Checksum(text) {
			return true
		}
		if stored != "" && len(stored) != 64 && stored == legacyChecksum(text) {
			return true
		}
	}
	return false
}

func legacyChecksum(sql string) string {
	sum := sha256.Sum256([]byte(sql))
	var b strings.Builder
	for _, c := range sum {
		b.WriteString(strconv.FormatUint(uint64(c), 16))
	}
	return b.String()
}
