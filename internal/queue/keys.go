package queue

// The names of Redis keys. Those of asynq are its own and private; a test pins each to the version in go.mod.

const asynqQueues = "asynq:queues" // the set of queues that inspector and dashboard know

func pendingKey(queue string) string  { return "asynq:{" + queue + "}:pending" }
func activeKey(queue string) string   { return "asynq:{" + queue + "}:active" }
func pausedKey(queue string) string   { return "asynq:{" + queue + "}:paused" }
func archivedKey(queue string) string { return "asynq:{" + queue + "}:archived" }

const pulseKey = "millrace:pulse"

// wakeKey is the list of wake-up tokens of a pool. The braces keep it in one Redis Cluster slot with a server's own key.
func wakeKey(pool string) string { return "millrace:wake:{" + pool + "}" }

// ownWakeKey is the list that ends the wait of one server only.
func ownWakeKey(pool, server string) string { return wakeKey(pool) + ":" + server }
