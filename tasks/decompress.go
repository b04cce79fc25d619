package tasks

import "github.com/millrace/millrace"

// AutoCodec means that the codec is told from the first bytes of the input.
const AutoCodec = "auto"

// DefaultMaxOutput bounds what file.decompress writes when the caller does not say.
const DefaultMaxOutput = 10 << 30

// DecompressParams are the params of file.decompress.
type DecompressParams struct {
	Codec    string `json:"codec" jsonschema:"title=Codec,description=The format of the input; auto tells it from the first bytes.,enum=auto,enum=gzip,enum=zstd,enum=brotli,enum=s2"`
	MaxBytes int64  `json:"max_bytes" jsonschema:"title=Largest output,description=The job fails with too_large once the output would be larger than this many bytes.,minimum=1,maximum=1099511627776"`
	MaxRatio int64  `json:"max_ratio,omitempty" jsonschema:"title=Largest ratio,description=The job fails with too_large once the output is more than 1 MiB and more than this many times the size of the input; 0 means no such bound.,minimum=0,maximum=1000000"`
}

// Validate refuses the codec that this release does not have.
func (p *DecompressParams) Validate() error { return codecAvailable(p.Codec) }

// DecompressResult is the result of file.decompress.
type DecompressResult struct {
	InBytes  int64  `json:"in_bytes"`
	OutBytes int64  `json:"out_bytes"`
	Codec    string `json:"codec"`  // what the input was
	SHA256   string `json:"sha256"` // of the output
}

// Decompress declares file.decompress.
func Decompress() Declaration[DecompressParams] {
	return Declaration[DecompressParams]{
		Name:  "file.decompress",
		Title: "Decompress a file",
		Description: "Undoes one layer of compression. Files of several gzip members or zstd frames come out as one. " +
			"Truncated input, a wrong checksum or anything behind the end fail as `corrupt` and leave no output; " +
			"input that is not compressed fails as `unsupported_format`.",
		Version:  "1",
		Pool:     millrace.CPU,
		Pure:     true,
		Defaults: DecompressParams{Codec: AutoCodec, MaxBytes: DefaultMaxOutput},
		Examples: []Example[DecompressParams]{
			{Title: "Whatever it is", Params: DecompressParams{Codec: AutoCodec, MaxBytes: DefaultMaxOutput}},
			{Title: "From a stranger: at most 100 MiB and 200 times the input",
				Params: DecompressParams{Codec: AutoCodec, MaxBytes: 100 << 20, MaxRatio: 200}},
		},
	}
}
