package tasks

import "github.com/millrace/millrace"

// The codecs of file.compress and file.decompress.
const (
	Gzip   = "gzip"
	Zstd   = "zstd"
	Brotli = "brotli" // in the contract, not in this release
	S2     = "s2"
)

// CompressParams are the params of file.compress.
type CompressParams struct {
	Codec string `json:"codec" jsonschema:"title=Codec,description=The format of the output.,enum=gzip,enum=zstd,enum=brotli,enum=s2"`
	Level string `json:"level" jsonschema:"title=Level,description=How much time to spend on a smaller output.,enum=fastest,enum=default,enum=better,enum=best"`
}

// Validate refuses the codec that this release does not have.
func (p *CompressParams) Validate() error { return codecAvailable(p.Codec) }

// codecAvailable answers a codec of the contract that has no implementation yet, so that nobody takes the refusal for a typing mistake.
func codecAvailable(codec string) error {
	if codec != Brotli {
		return nil
	}
	err := millrace.InvalidField("/params/codec", "brotli is not available in this release; use gzip, zstd or s2")
	err.Code = millrace.CodeNotAvailable
	return err
}

// CompressResult is the result of file.compress.
type CompressResult struct {
	InBytes  int64   `json:"in_bytes"`
	OutBytes int64   `json:"out_bytes"`
	Ratio    float64 `json:"ratio"`  // in_bytes ÷ out_bytes: 4 means a quarter of the size
	SHA256   string  `json:"sha256"` // of the output
}

// Compress declares file.compress.
func Compress() Declaration[CompressParams] {
	return Declaration[CompressParams]{
		Name:  "file.compress",
		Title: "Compress a file",
		Description: "Compresses a file of any size chunk by chunk. The output is called as the input with `.gz`, `.zst` or `.s2` behind it " +
			"and unpacks with the stock tools.",
		Version:  "1",
		Pool:     millrace.CPU,
		Pure:     true,
		Defaults: CompressParams{Codec: Zstd, Level: "default"},
		Examples: []Example[CompressParams]{
			{Title: "A good balance of size and speed", Params: CompressParams{Codec: Zstd, Level: "default"}},
			{Title: "A gzip file that everybody can open", Params: CompressParams{Codec: Gzip, Level: "better"}},
		},
	}
}
