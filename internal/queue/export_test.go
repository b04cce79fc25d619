package queue

// What the tests of this package need of its inside.
var (
	AtLeast      = atLeast
	ParseID      = parseID
	ParsePayload = parsePayload
	IsDequeue    = isDequeue
	WakeKey      = wakeKey
	GateForTest  = newGateForTest
)

// Payload is what asynq stores with a task.
func (t Task) Payload() ([]byte, error) { return t.payload() }
