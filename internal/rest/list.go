package rest

import (
	"encoding/base64"
	"strconv"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace/internal/jobspec"
)

// How many items a list answers.
const (
	defaultLimit = 50
	maxLimit     = 500
)

// listQuery reads limit and cursor. before is the id that the page's items are older than, "" for the first page.
func listQuery(c echo.Context) (limit int, before string, err error) {
	if limit, err = queryLimit(c); err != nil {
		return 0, "", err
	}
	if v := c.QueryParam("cursor"); v != "" {
		id, ok := decodeCursor(v)
		if !ok {
			return 0, "", badQuery("cursor", "must be the next_cursor of an earlier answer")
		}
		before = id
	}
	return limit, before, nil
}

func queryLimit(c echo.Context) (int, error) {
	v := c.QueryParam("limit")
	if v == "" {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > maxLimit {
		return 0, badQuery("limit", "must be a number from 1 to %d", maxLimit)
	}
	return n, nil
}

// pageOf makes a page of up to limit+1 rows; the one too many says that there is a next page.
func pageOf[Row, Item any](rows []Row, limit int, id func(Row) string, view func(Row) Item) page[Item] {
	p := page[Item]{Items: make([]Item, 0, min(len(rows), limit))}
	for i, row := range rows {
		if i == limit {
			cursor := encodeCursor(id(rows[limit-1]))
			p.NextCursor = &cursor
			break
		}
		p.Items = append(p.Items, view(row))
	}
	return p
}

// cursorVersion is the first byte of a cursor, so that a later form can be told from this one.
const cursorVersion = 1

// encodeCursor hides the last id of a page: what a cursor holds is ours to change.
func encodeCursor(id string) string {
	u, err := uuid.Parse(id)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append([]byte{cursorVersion}, u[:]...))
}

func decodeCursor(cursor string) (id string, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) != 17 || b[0] != cursorVersion {
		return "", false
	}
	return uuid.UUID(b[1:]).String(), true
}

// pathID reads the id in the path. What is no id of ours cannot exist, so it is not found without asking the ledger.
func pathID(c echo.Context) (string, error) {
	id := c.Param("id")
	if !jobspec.ValidID(id) {
		return "", errNoSuch
	}
	return id, nil
}
