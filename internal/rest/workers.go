package rest

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
)

// workerView is a live process as the API writes it.
type workerView struct {
	ID        string     `json:"id"`
	Host      string     `json:"host"`
	PID       int        `json:"pid"`
	Role      string     `json:"role"`
	StartedAt stamp      `json:"started_at"`
	BeatAt    stamp      `json:"beat_at"`
	Slots     slotsView  `json:"slots"`
	Running   []string   `json:"running"`
	Memory    memoryView `json:"memory"`
}

type slotsView struct {
	CPU int `json:"cpu"`
	IO  int `json:"io"`
}

type memoryView struct {
	Used   int64 `json:"used"`
	Budget int64 `json:"budget"`
}

func viewWorker(w millrace.Worker) workerView {
	return workerView{
		ID: w.ID, Host: w.Host, PID: w.PID, Role: w.Role, StartedAt: stamp(w.StartedAt), BeatAt: stamp(w.BeatAt),
		Slots: slotsView{CPU: w.CPUSlots, IO: w.IOSlots}, Running: orEmpty(w.Running),
		Memory: memoryView{Used: w.MemoryUsed, Budget: w.MemoryBudget},
	}
}

func (s *Server) listWorkers(c echo.Context) error {
	workers, err := s.Ledger.Workers(c.Request().Context())
	if err != nil {
		return fromLedger(err)
	}
	p := page[workerView]{Items: make([]workerView, 0, len(workers))}
	for _, w := range workers {
		p.Items = append(p.Items, viewWorker(w))
	}
	return respond(s, c, http.StatusOK, p)
}
