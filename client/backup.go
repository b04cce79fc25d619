package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Backup writes the server's whole state to w, a tar stream for millrace restore, and answers how many bytes it has. Only an embedded server
// makes one, and only for an administrator. After an error w holds a part that cannot be restored.
func (c *Client) Backup(ctx context.Context, w io.Writer) (int64, error) {
	res, err := c.request(ctx, http.MethodPost, "/v1/backup", "application/json", strings.NewReader("{}"))
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	n, err := io.Copy(w, res.Body)
	if err != nil {
		return n, fmt.Errorf("the backup broke off after %d bytes: %w", n, err)
	}
	return n, nil
}
