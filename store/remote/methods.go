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
	req, args, err := unpack[request](body)
	if err != nil {
		return request{}, fmt.Errorf("decode request: %w", err)
	}
	req.args = args
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
	r := reply{ID: req.ID}
	if err != nil {
		r.Error, r.Kind, result = err.Error(), kindOf(err), nil
	}
	body, err := pack(r, result)
	if err != nil { // cannot be: the head is a number and two strings
		body, _ = pack(reply{ID: req.ID, Error: err.Error()}, nil)
	}
	return body
}

func (c *session) run(ctx context.Context, req request) ([]byte, error) {
	switch req.Method {
	case methodRegister:
		return handle(req.args, func(w millrace.Worker) (nothing, error) {
			err := c.ledger.Register(ctx, w)
			if err == nil {
				c.joined(w.ID)
			}
			return nothing{}, err
		})
	case methodBeat:
		return handle(req.args, func(b store.Beat) (store.BeatReply, error) { return c.ledger.Beat(ctx, b) })
	case methodClaim:
		return handle(req.args, func(a claimArgs) ([]claimed, error) {
			got, err := c.ledger.Claim(ctx, a.Worker, a.Deliveries)
			return packClaimed(got), err
		})
	case methodFinish:
		return handle(req.args, func(o []outcome) ([]bool, error) { return c.ledger.Finish(ctx, unpackOutcomes(o)) })
	case methodTakeBlob:
		return handle(req.args, func(a blobArgs) (blobReply, error) {
			key, ok, err := c.ledger.TakeBlob(ctx, a.Tenant, a.SHA256)
			return blobReply{Key: key, OK: ok}, err
		})
	case methodLeave:
		return handle(req.args, func(a workerArgs) (nothing, error) {
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
func handle[A, R any](args []byte, fn func(A) (R, error)) ([]byte, error) {
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
