// Package mutant takes rules out of the product, one at a time, so that a test can show that the simulation notices.
//
// Without the build tag mutants every function here answers what it was given, and the compiler leaves nothing of it. A test that finds no mistake
// says little before it has found one that was put there.
package mutant

// Rule is one rule of the product that can be taken out.
type Rule string

// The rules.
const (
	Fence        Rule = "an outcome needs the newest fence"
	State        Rule = "an outcome needs a running job"
	Live         Rule = "a buried worker claims nothing"
	Unclaimed    Rule = "a claim needs the fence of its delivery"
	Unique       Rule = "a final job frees its unique key"
	UniqueOwner  Rule = "a job frees a unique key only if it has it"
	Idempotency  Rule = "an idempotency key is kept with its job"
	Generation   Rule = "a queue that lost its memory raises the generation"
	SentAgain    Rule = "what is to run again counts as not sent"
	Refence      Rule = "a delivery that nobody claimed gets a new fence"
	Rescue       Rule = "jobs of dead workers are rescued"
	Collect      Rule = "only blobs that nobody refers to are collected"
	TakeLive     Rule = "a dying blob is not taken"
	KeepInputs   Rule = "files of live jobs do not expire"
	Expire       Rule = "what has expired is removed"
	Loose        Rule = "bytes of files that are gone are collected"
	Spent        Rule = "a rescued attempt is not spent"
	Webhook      Rule = "every end of a run owes its delivery"
	Paused       Rule = "resuming a queue makes its jobs owed"
	Overdue      Rule = "a job whose deadline passed fails"
	CancelSticks Rule = "a job that somebody canceled does not run again"
	Released     Rule = "the end of a job releases those who wait for it"
)
