package csvstat

import (
	"bytes"
	"encoding/csv"
	"path"
	"strings"

	"github.com/millrace/millrace"
)

// byteOrderMark may begin a UTF-8 text; it is no part of the first column's name.
const byteOrderMark = "\xef\xbb\xbf"

// refuse names inputs that are no delimited text by their first bytes or their file's name.
func refuse(head []byte, name string) error {
	unsupported := func(format string, args ...any) error {
		return millrace.BadInput(millrace.CodeUnsupportedFormat, format, args...)
	}
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return unsupported("the input is UTF-16 text: convert it to UTF-8 first")
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}), bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return unsupported("the input is compressed: use file.decompress first")
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return unsupported("the input is a zip archive or a spreadsheet, not delimited text")
	case looksLikeJSON(head, name):
		return millrace.BadInput(millrace.CodeNotAvailable, "the input is JSON: this release summarizes CSV and TSV only")
	}
	return nil
}

// looksLikeJSON says whether a text is JSON or NDJSON rather than delimited: by the name of its file, or because it begins with an object that
// has a key, alone or in an array.
func looksLikeJSON(head []byte, name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".json", ".ndjson", ".jsonl":
		return true
	}
	head = bytes.TrimLeft(head, " \t\r\n")
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("[")), " \t\r\n")
	inside, object := bytes.CutPrefix(head, []byte("{"))
	return object && bytes.HasPrefix(bytes.TrimLeft(inside, " \t\r\n"), []byte(`"`))
}

// detectDelimiter tells the delimiter from the first rows: the one that cuts most rows into as many cells as the first row. A comma must win
// by more than one cell, because decimal commas are found at one per cell.
func detectDelimiter(sample []byte, complete bool) rune {
	best, bestShare, bestCells := ',', 0.0, 0
	for _, delimiter := range []rune{'\t', ';', '|', ','} {
		share, cells := cut(sample, complete, delimiter)
		if cells < 2 {
			continue
		}
		if delimiter == ',' {
			cells--
		}
		if share > bestShare || share == bestShare && cells > bestCells {
			best, bestShare, bestCells = delimiter, share, cells
		}
	}
	return best
}

// cut is the share of rows that have as many cells as the first, and that number.
func cut(sample []byte, complete bool, delimiter rune) (share float64, cells int) {
	r := csv.NewReader(bytes.NewReader(sample))
	r.Comma, r.FieldsPerRecord, r.ReuseRecord, r.LazyQuotes = delimiter, -1, true, true
	var counts []int
	for {
		record, err := r.Read()
		if err != nil {
			break
		}
		counts = append(counts, len(record))
	}
	if !complete && len(counts) > 1 {
		counts = counts[:len(counts)-1] // the last row of a sample is cut off
	}
	if len(counts) == 0 {
		return 0, 0
	}
	same := 0
	for _, n := range counts {
		if n == counts[0] {
			same++
		}
	}
	return float64(same) / float64(len(counts)), counts[0]
}
