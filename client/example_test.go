package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/millrace/millrace/client"
)

// answers stands in for a server, so that the example runs anywhere.
func answers() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/files", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"id":"f1","name":%q}`, r.URL.Query().Get("name"))
	})
	mux.HandleFunc("POST /v1/jobs", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"id":"j1","state":"queued"}`)
	})
	mux.HandleFunc("GET /v1/jobs/j1", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id":"j1","state":"succeeded","result":{"crc32":"3610a686"}}`)
	})
	return httptest.NewServer(mux)
}

func ExampleClient() {
	server := answers() // your server is http://127.0.0.1:8080, say
	defer server.Close()
	ctx := context.Background()
	c := &client.Client{URL: server.URL}

	file, err := c.Upload(ctx, "hello.txt", strings.NewReader("hello"))
	if err != nil {
		fmt.Println(err)
		return
	}
	job, err := c.Submit(ctx, client.Spec{Type: "compute.checksum", Inputs: []client.Input{{File: file.ID}},
		Params: json.RawMessage(`{"algorithms":["crc32"]}`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	job, err = c.Wait(ctx, job.ID, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(job.State, string(job.Result))
	// Output: succeeded {"crc32":"3610a686"}
}
