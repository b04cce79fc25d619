package embedded

import (
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Dial is a client of the embedded Redis at a unix socket. Nothing is connected before the first command; the caller closes it.
func Dial(socket, password string) redis.UniversalClient {
	return redis.NewClient(&redis.Options{
		Network:  "unix",
		Addr:     socket,
		Password: password,
		Protocol: 2, // spares the attempt to agree on RESP3 at each connection
		// Core restarts now and then; a connection that waits in the listener's backlog is answered once it is back.
		DialTimeout: 2 * time.Second, DialerRetries: 1,
		ReadTimeout: 3 * time.Second, WriteTimeout: 3 * time.Second,
		PoolSize: 32, MinIdleConns: 1, PipelinePoolSize: 4,
		ContextTimeoutEnabled:    true,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}
