package millrace

import (
	"encoding/json"
	"time"
)

// Preset is a name for params of a task type: a job that names it takes from it what its own params leave out. The job keeps what it took, whatever
// becomes of the preset.
type Preset struct {
	Tenant, Name string
	Type         string          // the task type that the params are for
	Params       json.RawMessage // an object, as it was given: what it leaves out is left to the job and to the type's defaults

	Version              int64 // 1, and one more for each change since it was created
	CreatedAt, UpdatedAt time.Time
}
