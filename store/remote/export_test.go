package remote

// What the fuzz targets and tests of bounds need.
var (
	ReadFrame     = readFrame
	WriteFrame    = writeFrame
	DecodeRequest = func(b []byte) error { _, err := decodeRequest(b); return err }
)

// MaxFrame is maxFrame.
const MaxFrame = maxFrame
