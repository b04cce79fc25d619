package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// Task points at one dispatch of a job. The ledger holds the rest.
type Task struct {
	Job   string
	Fence int64  // the ledger's at the time of sending: a delivery with an older one finds nothing to claim
	Type  string // the task type's name, for the dashboard
	Queue string // one of millrace.Queues
}

// ID is the task's name in asynq. A fresh one for each dispatch: an earlier one that is still active, archived or kept would refuse it.
func (t Task) ID() string { return t.Job + "." + strconv.FormatInt(t.Fence, 10) }

// pointer is the payload: ids only, because asynq shows it on the dashboard and sends it again every five seconds while the task is active.
type pointer struct {
	Job   string `json:"job"`
	Fence int64  `json:"fence"`
}

func (t Task) payload() ([]byte, error) { return json.Marshal(pointer{t.Job, t.Fence}) }

func (t Task) validate() error {
	switch {
	case t.Job == "":
		return errors.New("enqueue a task without a job")
	case strings.ContainsAny(t.Job, "{} \n"): // braces are Redis Cluster's hash tags
		return fmt.Errorf("enqueue job %q: not a job id", t.Job)
	case strings.TrimSpace(t.Type) == "":
		return fmt.Errorf("enqueue job %s: no task type", t.Job)
	case !slices.Contains(millrace.Queues(), t.Queue):
		return fmt.Errorf("enqueue job %s: no queue is called %q", t.Job, t.Queue)
	}
	return nil
}

// parsePayload reads what payload wrote.
func parsePayload(b []byte) (job string, fence int64, err error) {
	var p pointer
	if err := json.Unmarshal(b, &p); err != nil {
		return "", 0, fmt.Errorf("read the payload of a task: %w", err)
	}
	if p.Job == "" {
		return "", 0, errors.New("read the payload of a task: no job in it")
	}
	return p.Job, p.Fence, nil
}

// parseID reads what ID wrote; ok is false for a name that is none of ours.
func parseID(id string) (job string, fence int64, ok bool) {
	i := strings.LastIndexByte(id, '.')
	if i < 1 {
		return "", 0, false
	}
	fence, err := strconv.ParseInt(id[i+1:], 10, 64)
	return id[:i], fence, err == nil
}

// poolOf is the pool that a queue belongs to.
func poolOf(queue string) string {
	pool, _, _ := strings.Cut(queue, ".")
	return pool
}
