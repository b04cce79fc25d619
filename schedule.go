package millrace

import (
	"encoding/json"
	"time"
)

// Schedule submits a job again and again, by a cron expression in a time zone.
type Schedule struct {
	Tenant, Name string
	Cron         string // five fields, or @hourly and the like
	Timezone     string // IANA name; "UTC" when the caller gave none
	CatchUp      CatchUp
	Paused       bool
	Job          json.RawMessage // the job as a request would give it, checked when the schedule was put

	NextRunAt time.Time // zero while paused, and when no tick will ever come
	LastRunAt time.Time // the tick that ran last; zero: none yet
	LastJob   string    // the job of that tick, or "" when it was refused
	LastError string    // why that tick's job was refused, or ""

	Version              int64 // raised by each change: a tick that was worked out before it counts for nothing
	CreatedAt, UpdatedAt time.Time
}

// CatchUp says what becomes of ticks that passed while nobody could run them.
type CatchUp string

// The policies.
const (
	CatchUpNone CatchUp = "none" // skipped
	CatchUpLast CatchUp = "last" // the newest runs, once
	CatchUpAll  CatchUp = "all"  // each runs, oldest first
)
