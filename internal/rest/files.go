package rest

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// errNoSuch is one answer for what is absent and what is another tenant's.
var errNoSuch = store.ErrNotFound

// fileView is a File as the API writes it.
type fileView struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Size        int64  `json:"size"`
	SHA256      string `json:"sha256"`
	ContentType string `json:"content_type"`
	CreatedAt   stamp  `json:"created_at"`
	ExpiresAt   stamp  `json:"expires_at"`
	URL         string `json:"url"`
}

func viewFile(f millrace.File) fileView {
	return fileView{
		ID: f.ID, Name: f.Name, Size: f.Size, SHA256: f.SHA256, ContentType: f.ContentType,
		CreatedAt: stamp(f.CreatedAt), ExpiresAt: stamp(f.ExpiresAt), URL: fileURL(f.ID),
	}
}

func fileURL(id string) string { return "/v1/files/" + id }

func (s *Server) getFile(c echo.Context) error {
	f, err := s.file(c)
	if err != nil {
		return err
	}
	return respond(s, c, http.StatusOK, viewFile(f))
}

// file reads the file that the path names.
func (s *Server) file(c echo.Context) (millrace.File, error) {
	id, err := pathID(c)
	if err != nil {
		return millrace.File{}, err
	}
	f, err := s.Ledger.File(c.Request().Context(), tenant(c), id)
	return f, fromLedger(err)
}

func (s *Server) listFiles(c echo.Context) error {
	limit, before, err := listQuery(c)
	if err != nil {
		return err
	}
	files, err := s.Ledger.ListFiles(c.Request().Context(), tenant(c), before, limit+1)
	if err != nil {
		return fromLedger(err)
	}
	return respond(s, c, http.StatusOK, pageOf(files, limit, func(f millrace.File) string { return f.ID }, viewFile))
}

func (s *Server) deleteFile(c echo.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	if err := s.Ledger.DeleteFile(c.Request().Context(), tenant(c), id); err != nil {
		return fromLedger(err)
	}
	return noContent(c)
}
