package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/millrace/millrace/web"
)

// The page is a handler like any other; the API that it calls must be served under the same origin.
func ExampleHandler() {
	mux := http.NewServeMux()
	mux.Handle("/", web.Handler(web.Link{Title: "API reference", Href: "/docs"}))

	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest("GET", "/jobs", nil))
	fmt.Println(answer.Code, answer.Header().Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}
