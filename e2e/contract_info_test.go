package e2e_test

import (
	"encoding/json"
	"net/http"
	"testing"
)

// infoContract describes a picture: by its header alone, then with placeholders.
func infoContract(t *testing.T, s *target) {
	contentType, body := form(t, part{"type", "", "image.info"}, part{"params", "", `{"placeholders":["blurhash","thumbhash","dominant_color"]}`},
		part{"file", "photo.jpg", string(photo(t, 96, 64))})
	var j job
	s.on(t).call("POST", "/v1/jobs?wait=30s", contentType, []byte(body), http.StatusOK, &j)
	var info struct {
		Width, Height, Frames, Orientation int
		Format, BlurHash, ThumbHash        string
		ColorSpace                         string `json:"color_space"`
		Depth                              int    `json:"bit_depth"`
		DominantColor                      string `json:"dominant_color"`
		HasAlpha                           *bool  `json:"has_alpha"`
	}
	if err := json.Unmarshal(j.Result, &info); err != nil {
		t.Fatal(err)
	}
	if info.Width != 96 || info.Height != 64 || info.Frames != 1 || info.Orientation != 1 || info.Format != "jpeg" || info.ColorSpace != "rgb" || info.Depth != 8 ||
		info.HasAlpha == nil || *info.HasAlpha || len(j.Outputs) != 0 {
		t.Errorf("result %s, outputs %v", j.Result, j.Outputs)
	}
	if len(info.BlurHash) != 28 || info.ThumbHash == "" || len(info.DominantColor) != 7 {
		t.Errorf("placeholders in %s", j.Result)
	}
	contentType, body = form(t, part{"type", "", "image.info"}, part{"file", "photo.jpg", "no picture at all"})
	s.on(t).call("POST", "/v1/jobs?wait=30s", contentType, []byte(body), http.StatusOK, &j)
	if j.State != "failed" {
		t.Errorf("text is described as %s %s", j.State, j.Result)
	}
}
