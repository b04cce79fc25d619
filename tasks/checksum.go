package tasks

import "github.com/millrace/millrace"

// ChecksumParams are the params of compute.checksum.
type ChecksumParams struct {
	Algorithms []string `json:"algorithms" jsonschema:"title=Algorithms,description=All are computed in one read of the input.,minItems=1,maxItems=6,uniqueItems=true,enum=sha256,enum=sha1,enum=md5,enum=blake3,enum=xxh3,enum=crc32"`
}

// ChecksumResult is the result of compute.checksum: algorithm to lower-case hex digest. xxh3 is the 64-bit variant with seed 0, crc32 the IEEE
// polynomial; both are written big-endian, as xxhsum and gzip -lv print them.
type ChecksumResult map[string]string

// Checksum declares compute.checksum.
func Checksum() Declaration[ChecksumParams] {
	return Declaration[ChecksumParams]{
		Name:        "compute.checksum",
		Title:       "Compute checksums",
		Description: "Computes any of SHA-256, SHA-1, MD5, BLAKE3, XXH3 (64 bits) and CRC-32 in one read.",
		Version:     "1",
		Pool:        millrace.IO,
		Pure:        true,
		Defaults:    ChecksumParams{Algorithms: []string{"sha256"}},
		Examples: []Example[ChecksumParams]{
			{Title: "SHA-256", Params: ChecksumParams{Algorithms: []string{"sha256"}}},
			{Title: "Everything in one read", Params: ChecksumParams{Algorithms: []string{"sha256", "sha1", "md5", "blake3", "xxh3", "crc32"}}},
		},
	}
}
