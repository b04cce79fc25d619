package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func decodeRequest(body []byte) (request, error) {
	var req request
	if err := json.Unmarshal(body, &req); err != nil {
		return request{}, fmt.Errorf("decode request: %w", err)
	}
	if req.ID == 0 || req.Method == "" {
		return request{}, errors.New("request without id or method")
	}
	return req, nil
}

// answer runs a request and encodes the reply.
func (c *session) answer(ctx context.Context, req request) []byte {
	result, err := c.run(ctx, req)
	if err == nil && len(result) > maxFrame-256 { // room for the reply around it
		err = fmt.Errorf("answer to %s: %w", req.Method, ErrTooLarge)
	}
	r := reply{ID: req.ID, Result: result}
	if err != nil {
		r = reply{ID: req.ID, Error: err.Error(), Kind: kindOf(err)}
	}
	body, err := json.Marshal(r)
	if err != nil { // cannot be: the result was made by Marshal
		body, _ = json.Marshal(reply{ID: req.ID, Error: err.Error()})
	}
	return body
}

func (c *session) run(ctx context.Context, req request) (json.RawMessage, error) {
	switch req.Method {
	case methodRegister:
		return handle(req.Args, func(w millrace.Worker) (nothing, error) {
			err := c.ledger.Register(ctx, w)
			if err == nil {
				c.joined(w.ID)
			}
			return nothing{}, err
		})
	case methodBeat:
		return handle(req.Args, func(b store.Beat) (store.BeatReply, error) { return c.ledger.Beat(ctx, b) })
	case methodClaim:
		return handle(req.Args, func(a claimArgs) ([]claimed, error) {
			got, err := c.ledger.Claim(ctx, a.Worker, a.Deliveries)
			return packClaimed(got), err
		})
	case methodFinish:
		return handle(req.Args, func(o []outcome) ([]bool, error) { return c.ledger.Finish(ctx, unpackOutcomes(o)) })
	case methodTakeBlob:
		return handle(req.Args, func(a blobArgs) (blobReply, error) {
			key, ok, err := c.ledger.TakeBlob(ctx, a.Tenant, a.SHA256)
			return blobReply{Key: key, OK: ok}, err
		})
	case methodLeave:
		return handle(req.Args, func(a workerArgs) (nothing, error) {
			err := c.ledger.Leave(ctx, a.Worker)
			if err == nil {
				c.left(a.Worker)
			}
			return nothing{}, err
		})
	}
	return nil, fmt.Errorf("unknown method %q", req.Method)
}

// handle decodes arguments, calls fn and encodes what it answers.
func handle[A, R any](args json.RawMessage, fn func(A) (R, error)) (json.RawMessage, error) {
	var a A
	if err := json.Unmarshal(args, &a); err != nil {
		return nil, fmt.Errorf("decode arguments: %w", err)
	}
	r, err := fn(a)
	if err != nil {
		return nil, err
	}
	return json.Marshal(r)
}
