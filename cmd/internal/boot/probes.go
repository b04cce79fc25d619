package boot

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/millrace/millrace/internal/auth"
	"github.com/millrace/millrace/internal/rest"
)

// serveProbes answers /livez, /readyz and /metrics for a role that has no API, until ctx ends. Metrics are for admins where auth is on.
func serveProbes(ctx context.Context, l net.Listener, checks []rest.Check, registry *prometheus.Registry, access *auth.Authenticator) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { ready(w, r, checks) })
	mux.Handle("GET /metrics", adminsOnly(access, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	server := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	stopped := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
	})
	defer stopped()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func adminsOnly(access *auth.Authenticator, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := access.Authenticate(r)
		switch {
		case err != nil:
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "metrics ask for the admin key as a bearer token", http.StatusUnauthorized)
		case !who.Has(auth.Admin):
			http.Error(w, "metrics ask for the scope admin", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func ready(w http.ResponseWriter, r *http.Request, checks []rest.Check) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	status, names := http.StatusOK, make(map[string]string)
	for _, c := range checks {
		names[c.Name] = "ok"
		if err := c.Func(ctx); err != nil {
			names[c.Name] = "degraded"
			if c.Required {
				names[c.Name], status = "down", http.StatusServiceUnavailable
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"checks": names})
}
