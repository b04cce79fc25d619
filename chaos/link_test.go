//go:build linux

package chaos_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// link is the way from one unit to one server.
type link struct {
	proxy *toxiproxy.Proxy
	url   string // of the server, by this way
}

func newLink(t testing.TB, name, target string) *link {
	t.Helper()
	return newLinkAt(t, "127.0.0.1:0", name, target)
}

func newLinkAt(t testing.TB, listen, name, target string) *link {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &link{proxy: toxiproxy.NewProxy(server, name, listen, u.Host)}
	if err := l.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.proxy.Stop)
	u.Host = l.proxy.Listen
	l.url = u.String()
	return l
}

// cut ends all connections and refuses new ones.
func (l *link) cut() { l.proxy.Stop() }

// join lets connections through again.
func (l *link) join() error {
	l.proxy.Toxics.ResetToxics(context.Background())
	if l.proxy.Enabled {
		return nil
	}
	return l.proxy.Start()
}

// slow delays what the server answers.
func (l *link) slow(ms int) error {
	return l.toxic(fmt.Sprintf(`{"type":"latency","stream":"downstream","attributes":{"latency":%d,"jitter":%d}}`, ms, ms/2))
}

// swallow drops everything in both directions without a word, as a broken switch does: no connection ends, none gets through.
func (l *link) swallow() error {
	for _, stream := range []string{"upstream", "downstream"} {
		if err := l.toxic(fmt.Sprintf(`{"type":"timeout","stream":%q,"attributes":{"timeout":0}}`, stream)); err != nil {
			return err
		}
	}
	return nil
}

func (l *link) toxic(json string) error {
	_, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(json))
	return err
}
