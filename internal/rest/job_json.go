package rest

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// encodeJob writes a job as encode would, byte for byte, in a fraction of the time: it is most of what an accepted job costs this package. What a
// fresh job does not have is left to encode. TestEncodeJob holds the two against each other.
func encodeJob(b *bytes.Buffer, v *jobView) error {
	if len(v.Attempts)+len(v.Outputs) > 0 || v.Error != nil || v.Progress != (progressView{Percent: v.Progress.Percent}) {
		return encode(b, v)
	}
	w := jobWriter{b.AvailableBuffer()}
	w.text(`{"id":`, v.ID)
	w.text(`,"type":`, v.Type)
	w.text(`,"state":`, string(v.State))
	w.text(`,"priority":`, string(v.Priority))
	w.raw(`,"params":`, v.Params)
	if v.Input == nil {
		w.plain(`,"input":null,"inputs":[`)
	} else {
		w.text(`,"input":{"file":`, v.Input.File)
		w.plain(`},"inputs":[`)
	}
	for i, in := range v.Inputs {
		w.item(i, `{"file":`, in.File)
		w.plain(`}`)
	}
	w.plain(`],"tags":[`)
	for i, tag := range v.Tags {
		w.item(i, "", tag)
	}
	w.raw(`],"metadata":`, v.Metadata)
	w.plain(`,"progress":{"done":0,"total":0,"unit":"","percent":`)
	w.b = strconv.AppendFloat(w.b, v.Progress.Percent, 'f', -1, 64)
	w.number(`,"message":""},"run":`, v.Run)
	w.number(`,"attempt":`, v.Attempt)
	w.number(`,"max_attempts":`, v.MaxAttempts)
	w.raw(`,"attempts":[],"error":null,"result":`, v.Result)
	w.plain(`,"outputs":[],"cached":`)
	w.b = strconv.AppendBool(w.b, v.Cached)
	w.unique(v.Unique)
	w.optional(`,"schedule":`, v.Schedule)
	w.time(`,"deadline":`, v.Deadline)
	w.time(`,"created_at":`, v.CreatedAt)
	w.time(`,"run_at":`, v.RunAt)
	w.time(`,"started_at":`, v.StartedAt)
	w.time(`,"finished_at":`, v.FinishedAt)
	w.time(`,"expires_at":`, v.ExpiresAt)
	w.text(`,"url":`, v.URL)
	w.plain("}\n")
	_, err := b.Write(w.b)
	return err
}

// jobWriter appends members to a JSON object, each behind what stands before its value.
type jobWriter struct{ b []byte }

func (w *jobWriter) plain(before string) { w.b = append(w.b, before...) }

func (w *jobWriter) text(before, s string) {
	w.plain(before)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			w.quote(s)
			return
		}
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, s...)
	w.b = append(w.b, '"')
}

// quote writes a string that needs escapes.
func (w *jobWriter) quote(s string) {
	var b bytes.Buffer
	if encode(&b, s) == nil { // a string always can be
		w.b = append(w.b, bytes.TrimSuffix(b.Bytes(), []byte{'\n'})...)
	}
}

func (w *jobWriter) item(i int, before, s string) {
	if i > 0 {
		w.plain(",")
	}
	w.text(before, s)
}

func (w *jobWriter) number(before string, n int) {
	w.plain(before)
	w.b = strconv.AppendInt(w.b, int64(n), 10)
}

func (w *jobWriter) time(before string, t stamp) {
	w.plain(before)
	if time.Time(t).IsZero() {
		w.plain("null")
		return
	}
	w.plain(`"`)
	w.b = time.Time(t).UTC().AppendFormat(w.b, stampLayout)
	w.plain(`"`)
}

func (w *jobWriter) optional(before string, s *string) {
	if s == nil {
		w.plain(before)
		w.plain("null")
		return
	}
	w.text(before, *s)
}

// raw writes JSON that is in the ledger, or about to be: it is well-formed.
func (w *jobWriter) raw(before string, doc json.RawMessage) {
	w.plain(before)
	if len(doc) == 0 {
		w.plain("null")
		return
	}
	b := bytes.NewBuffer(w.b)
	if json.Compact(b, doc) == nil {
		w.b = b.Bytes()
	}
}

func (w *jobWriter) unique(u *uniqueView) {
	if u == nil {
		w.plain(`,"unique":null`)
		return
	}
	w.text(`,"unique":{"key":`, u.Key)
	w.optional(`,"ttl":`, u.TTL)
	w.plain(`}`)
}
