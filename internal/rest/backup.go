package rest

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
)

// createBackup streams the server's whole state. Once bytes have left there is no status to say that something failed: the connection is cut, and
// the reader knows by the missing end.
func (s *Server) createBackup(c echo.Context) error {
	if s.Backup == nil {
		return &millrace.Error{Kind: millrace.Invalid, Code: millrace.CodeNotAvailable,
			Detail: "only an embedded server makes backups of itself; back up its PostgreSQL with pg_dump, and its files after that"}
	}
	if err := s.noBody(c); err != nil {
		return err
	}
	if !s.backingUp.CompareAndSwap(false, true) {
		return millrace.Errorf(millrace.Conflict, "another backup is being made; try again when it is done")
	}
	defer s.backingUp.Store(false)
	h := c.Response().Header()
	h.Set("Content-Type", "application/x-tar")
	h.Set("Content-Disposition", disposition("millrace-"+time.Now().UTC().Format("20060102-150405")+".tar"))
	h.Set("Cache-Control", "no-store")
	w := &contentWriter{Response: c.Response(), conn: http.NewResponseController(c.Response()), idle: s.Limits.WriteIdle}
	err := s.Backup(c.Request().Context(), w)
	if err == nil {
		return nil
	}
	if !c.Response().Committed {
		for _, name := range []string{"Content-Type", "Content-Disposition", "Cache-Control"} {
			h.Del(name)
		}
		return fromLedger(err)
	}
	s.Log.Warn("backup broke off", "error", err)
	panic(http.ErrAbortHandler)
}
