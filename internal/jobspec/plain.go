package jobspec

import (
	"bytes"
	"strconv"

	"github.com/millrace/millrace/internal/strict"
)

// plain decodes a job as nearly all are written, in a fraction of the time, and says whether it could. What it cannot, and everything that is to be
// refused, is for strict.Object: FuzzPlain holds the two against each other.
func (r *Request) plain(raw []byte) bool {
	seen := 0 // a field that is there twice has rules of its own
	return strict.Plain(raw, func(name, value []byte) bool {
		bit := 0
		ok := false
		switch string(name) {
		case "type":
			bit, ok = 1<<0, text(&r.Type, value)
		case "priority":
			bit, ok = 1<<1, text(&r.Priority, value)
		case "run_at":
			bit, ok = 1<<2, text(&r.RunAt, value)
		case "delay":
			bit, ok = 1<<3, text(&r.Delay, value)
		case "timeout":
			bit, ok = 1<<4, text(&r.Timeout, value)
		case "deadline":
			bit, ok = 1<<5, text(&r.Deadline, value)
		case "retention":
			bit, ok = 1<<6, text(&r.Retention, value)
		case "params":
			bit, ok, r.Params = 1<<7, value[0] == '{', bytes.Clone(value)
		case "metadata":
			bit, ok, r.Metadata = 1<<8, value[0] == '{', bytes.Clone(value)
		case "tags":
			bit = 1 << 9
			r.Tags, ok = strict.PlainStrings(value)
		case "cache":
			bit, ok = 1<<10, value[0] == 't' || value[0] == 'f'
			yes := value[0] == 't'
			r.Cache = &yes
		case "max_attempts":
			bit = 1 << 11
			n, err := strconv.Atoi(string(value))
			ok, r.MaxAttempts = err == nil, &n
		case "input":
			bit, r.Input = 1<<12, &Input{}
			ok = strict.Plain(value, func(name, value []byte) bool {
				return string(name) == "file" && r.Input.File == "" && text(&r.Input.File, value)
			})
		case "unique":
			bit, r.Unique = 1<<13, &Unique{}
			ok = strict.Plain(value, func(name, value []byte) bool {
				switch string(name) {
				case "key":
					return r.Unique.Key == "" && text(&r.Unique.Key, value)
				case "ttl":
					return r.Unique.TTL == "" && text(&r.Unique.TTL, value)
				}
				return false
			})
		}
		ok = ok && seen&bit == 0
		seen |= bit
		return ok
	})
}

func text(to *string, value []byte) (ok bool) {
	*to, ok = strict.PlainString(value)
	return ok
}
