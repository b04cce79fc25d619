package handlers

import (
	"context"

	"github.com/millrace/millrace/tasks"
)

// info does image.info.
func info(images Images) tasks.Handler[tasks.InfoParams] {
	return func(ctx context.Context, call *tasks.Call, p tasks.InfoParams) (any, error) {
		result, err := images.Info(ctx, call, p)
		if err != nil {
			return nil, err
		}
		return result, nil
	}
}
