package boot

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"sync"
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

// ready answers as the API's readyz does: each dependency by name, 503 only where one is missing that nothing works without.
func ready(w http.ResponseWriter, r *http.Request, checks []rest.Check) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	errs := make([]error, len(checks))
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() { errs[i] = c.Func(ctx) })
	}
	all.Wait()
	code, status, names := http.StatusOK, "ready", make(map[string]string)
	for i, c := range checks {
		names[c.Name] = "ok"
		switch {
		case errs[i] == nil:
			continue
		case c.Required:
			code, status = http.StatusServiceUnavailable, "unready"
		case status == "ready":
			status = "degraded"
		}
		names[c.Name] = "failing"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "checks": names})
}
