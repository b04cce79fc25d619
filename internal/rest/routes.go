package rest

import (
	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace/internal/auth"
)

// open marks a route that asks for no credential. It is a word of its own so that a forgotten scope is no open door: see router.
const open auth.Scope = "open"

// route is one line of the API's surface.
type route struct {
	method, pattern string
	scope           auth.Scope
	handle          echo.HandlerFunc
	query           []string // the parameters that it takes; others are refused under /v1
	later           bool     // the contract describes it, this release does not have it
}

// routes is the whole surface. Every GET answers HEAD too, except event streams.
func (s *Server) routes() []route {
	const read, write, admin = auth.JobsRead, auth.JobsWrite, auth.Admin
	later := s.notAvailable
	metrics := admin
	if s.OpenMetrics {
		metrics = open
	}
	table := []route{
		{"POST", "/v1/files", write, s.createFile, []string{"name"}, false},
		{"GET", "/v1/files", read, s.listFiles, []string{"limit", "cursor"}, false},
		{"GET", "/v1/files/:id", read, s.getFile, nil, false},
		{"GET", "/v1/files/:id/content", read, s.fileContent, nil, false},
		{"DELETE", "/v1/files/:id", write, s.deleteFile, nil, false},

		{"POST", "/v1/jobs", write, s.withRoom(s.createJob), []string{"wait"}, false},
		{"POST", "/v1/jobs/batch", write, s.withRoom(s.createBatch), nil, false},
		{"GET", "/v1/jobs", read, s.listJobs, []string{"limit", "cursor", "state", "type", "tag", "created_after", "created_before"}, false},
		{"GET", "/v1/jobs/:id", read, s.getJob, []string{"wait"}, false},
		{"GET", "/v1/jobs/:id/events", read, s.jobEvents, nil, false},
		{"GET", "/v1/jobs/:id/output", read, s.firstOutput, nil, false},
		{"GET", "/v1/jobs/:id/outputs/:name", read, s.namedOutput, nil, false},
		{"POST", "/v1/jobs/:id/cancel", write, s.cancelJob, nil, false},
		{"POST", "/v1/jobs/:id/retry", write, s.retryJob, nil, false},
		{"DELETE", "/v1/jobs/:id", write, s.deleteJob, nil, false},

		{"GET", "/v1/schedules", read, s.listSchedules, []string{"limit", "cursor"}, false},
		{"GET", "/v1/schedules/:name", read, s.getSchedule, nil, false},
		{"PUT", "/v1/schedules/:name", write, s.putSchedule, nil, false},
		{"DELETE", "/v1/schedules/:name", write, s.deleteSchedule, nil, false},

		{"GET", "/v1/presets", read, s.listPresets, []string{"limit", "cursor"}, false},
		{"GET", "/v1/presets/:name", read, s.getPreset, nil, false},
		{"PUT", "/v1/presets/:name", write, s.putPreset, nil, false},
		{"DELETE", "/v1/presets/:name", write, s.deletePreset, nil, false},

		{"GET", "/v1/task-types", read, s.listTypes, nil, false},
		{"GET", "/v1/task-types/:type", read, s.getType, nil, false},
		{"GET", "/v1/queues", read, s.listQueues, nil, false},
		{"POST", "/v1/queues/:name/pause", admin, s.pauseQueue, nil, false},
		{"POST", "/v1/queues/:name/resume", admin, s.resumeQueue, nil, false},
		{"GET", "/v1/workers", admin, s.listWorkers, nil, false},
		{"POST", "/v1/backup", admin, s.createBackup, nil, false},

		{"GET", "/v1/session", open, s.getSession, nil, false},
		{"POST", "/v1/session", open, s.createSession, nil, false},
		{"DELETE", "/v1/session", open, s.endSession, nil, false},

		{"GET", "/livez", open, s.livez, nil, false},
		{"GET", "/readyz", open, s.readyz, nil, false},
		{"GET", "/metrics", metrics, s.getMetrics, nil, false},
		{"GET", "/openapi.json", open, s.getOpenAPI, nil, false},
		{"GET", "/docs", open, s.getDocs, nil, false},

		{"GET", "/v1/jobs/:id/deliveries", read, later, nil, true},
		{"POST", "/v1/uploads", write, later, nil, true},
		{"OPTIONS", "/v1/uploads", write, later, nil, true},
		{"HEAD", "/v1/uploads/:id", write, later, nil, true},
		{"PATCH", "/v1/uploads/:id", write, later, nil, true},
		{"DELETE", "/v1/uploads/:id", write, later, nil, true},
		{"GET", "/v1/keys", admin, later, nil, true},
		{"POST", "/v1/keys", admin, later, nil, true},
		{"DELETE", "/v1/keys/:id", admin, later, nil, true},
		{"POST", "/v1/token", read, later, nil, true},
		{"GET", "/v1/breakers", read, later, nil, true},
	}
	table = append(table, pageRoutes(s.Web, open)...)
	return append(table, pageRoutes(s.Dashboard, admin)...)
}

func pageRoutes(p Page, scope auth.Scope) []route {
	if p.Handler == nil {
		return nil
	}
	methods := []string{"GET"}
	if p.Writes {
		methods = append(methods, "POST", "DELETE")
	}
	var routes []route
	for _, pattern := range p.Patterns {
		for _, method := range methods {
			routes = append(routes, route{method: method, pattern: pattern, scope: scope, handle: p.serve})
		}
	}
	return routes
}

func (p Page) serve(c echo.Context) error {
	if p.CSP != "" {
		c.Response().Header().Set("Content-Security-Policy", p.CSP)
	}
	p.Handler.ServeHTTP(c.Response(), c.Request())
	return nil
}
