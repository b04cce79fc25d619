package notify

// What the tests of this package need of its inside.
var (
	ParseEvents = parseEvents
	ParseJobs   = parseJobs
)

// Pending is how many events wait for one watcher.
const Pending = pending
