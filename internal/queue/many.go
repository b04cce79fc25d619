package queue

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// asynq's scripts are for one task each, and a call of a script costs Redis, its client and above all the embedded Redis more than what most of them
// do. So one of our scripts calls asynq's, whose text is in it unchanged as a function, for many tasks in turn. It knows nothing of asynq's keys.

// eachScript calls it once for each set of keys and arguments. ARGV begins with the numbers of both in one set. An error is of one call alone.
const eachScript = `
local nk, na, out = tonumber(ARGV[1]), tonumber(ARGV[2]), {}
for i = 0, #KEYS / nk - 1 do
	local k, a = {}, {}
	for j = 1, nk do k[j] = KEYS[i * nk + j] end
	for j = 1, na do a[j] = ARGV[2 + i * na + j] end
	local ok, r = pcall(one, k, a)
	if type(r) == "table" then r = r.ok or "-" .. (r.err or "ERR") elseif not ok then r = "-" .. tostring(r) end
	out[i + 1] = r or ""
end
return out`

// againScript calls it with the same keys and arguments until it has nothing more to give, but ARGV[1] times at most.
const againScript = `
local a, out = {}, {}
for j = 2, #ARGV do a[j - 1] = ARGV[j] end
for i = 1, tonumber(ARGV[1]) do
	local r = one(KEYS, a)
	if r == nil then break end
	if r then out[#out + 1] = r end
end
return out`

// scripts keeps the texts of asynq's scripts, by their hashes, and what was made of them. asynq shows a text only when Redis does not know the hash.
type scripts struct {
	loop string // eachScript or againScript

	mu   sync.Mutex
	made map[string]*redis.Script
}

func newScripts(loop string) *scripts { return &scripts{loop: loop, made: map[string]*redis.Script{}} }

// of finds the script that was made of one of asynq's; nil: its text is not known.
func (s *scripts) of(sha string) *redis.Script {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made[sha]
}

// learn makes a script of one of asynq's.
func (s *scripts) learn(sha, src string) *redis.Script {
	s.mu.Lock()
	defer s.mu.Unlock()
	made := s.made[sha]
	if made == nil {
		made = redis.NewScript("local one = function(KEYS, ARGV)\n" + src + "\nend\n" + s.loop)
		s.made[sha] = made
	}
	return made
}

// call is one call of a script that was made.
type call struct {
	script *redis.Script
	keys   []string
	args   []any
	cmd    *redis.Cmd // the answer
}

// each is the call of an eachScript for sets of keys and arguments of the same sizes.
func each(script *redis.Script, keys [][]string, args [][]any) *call {
	c := &call{script: script, keys: make([]string, 0, len(keys)*len(keys[0])), args: make([]any, 0, 2+len(args)*len(args[0]))}
	c.args = append(c.args, len(keys[0]), len(args[0]))
	for i := range keys {
		c.keys, c.args = append(c.keys, keys[i]...), append(c.args, args[i]...)
	}
	return c
}

// results are the answers and errors of a call for n sets, or the one error of all.
func (c *call) results(n int) ([]any, error) {
	all, err := c.cmd.Slice()
	if err == nil && len(all) != n {
		err = errors.New("a script answered for another number of tasks than it was called for")
	}
	return all, err
}

// scriptError is an error that Redis answered to one call within another.
type scriptError string

func (e scriptError) Error() string { return string(e) }

// RedisError makes it one of the client's.
func (scriptError) RedisError() {}

// failure is the error in one answer, or nil.
func failure(answer any) error {
	if text, ok := answer.(string); ok && strings.HasPrefix(text, "-") {
		return scriptError(text[1:])
	}
	return nil
}

// run makes calls in one round trip, between what first and last put there. Scripts that Redis does not know, as after its restart, go again with
// their texts.
func run(ctx context.Context, client redis.UniversalClient, calls []*call, first, last func(redis.Pipeliner)) {
	if len(calls) == 1 && first == nil && last == nil {
		c := calls[0]
		c.cmd = c.script.Run(ctx, client, c.keys, c.args...)
		return
	}
	pipe := client.Pipeline()
	if first != nil {
		first(pipe)
	}
	for _, c := range calls {
		c.cmd = c.script.EvalSha(ctx, pipe, c.keys, c.args...)
	}
	if last != nil {
		last(pipe)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	again := client.Pipeline()
	for _, c := range calls {
		if isNoScript(c.cmd.Err()) {
			c.cmd = c.script.Eval(ctx, again, c.keys, c.args...)
		}
	}
	if again.Len() == 0 {
		return
	}
	if last != nil {
		last(again)
	}
	_, _ = again.Exec(ctx)
}
