package queue

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/redis/go-redis/v9"
)

// asynqLog brings asynq's lines into our log.
type asynqLog struct{ log *slog.Logger }

func (l *asynqLog) Debug(args ...any) { l.log.Debug("asynq", "detail", fmt.Sprint(args...)) }
func (l *asynqLog) Info(args ...any)  { l.log.Debug("asynq", "detail", fmt.Sprint(args...)) }

// Warn is also where asynq reports each task that went to the archive: a failed job, which is nothing an operator must act on.
func (l *asynqLog) Warn(args ...any) {
	detail := fmt.Sprint(args...)
	level := slog.LevelWarn
	if strings.HasPrefix(detail, "Retry exhausted") {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, "asynq", "detail", detail)
}

func (l *asynqLog) Error(args ...any) { l.log.Error("asynq", "detail", fmt.Sprint(args...)) }
func (l *asynqLog) Fatal(args ...any) { l.log.Error("asynq", "detail", fmt.Sprint(args...)) }

// LogRedis sends the lines of the Redis client itself to log, at debug: it writes one for each failed dial to standard error otherwise. The setting
// is the process's, so the start of the program calls it once.
func LogRedis(log *slog.Logger) { redis.SetLogger(redisLog{log}) }

type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(ctx context.Context, format string, args ...any) {
	l.log.DebugContext(ctx, "redis", "detail", fmt.Sprintf(format, args...))
}
