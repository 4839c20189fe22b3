package functions

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
)

// Limits of the connections to the upstream.
const (
	upstreamDial      = 10 * time.Second
	upstreamIdle      = 90 * time.Second // below the idle timeout of the embedded upstream
	upstreamIdleConns = 1024             // kept for each host, HTTP/1.1 only
	multiplexedConns  = 8                // of a multiplexed upstream, see NewMultiplexedUpstream
)

// Upstream is the LLM API that functions call. It is safe for concurrent use.
type Upstream struct {
	messages   string // URL of the Messages endpoint
	apiKey     string
	transports []*http.Transport // taken in turn
	turn       atomic.Uint64
}

// NewUpstream returns the API at base, an http or https URL to which
// wire.PathMessages is appended. Which HTTP version is spoken is negotiated as
// usual: HTTP/1.1 on http, where each stream costs a connection, and HTTP/2 if
// offered on https.
func NewUpstream(base *url.URL, apiKey string) (*Upstream, error) {
	if (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, fmt.Errorf("upstream %q: want an http or https URL", base.Redacted())
	}
	return &Upstream{
		messages: base.JoinPath(wire.PathMessages).String(),
		apiKey:   apiKey,
		transports: []*http.Transport{{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: upstreamDial}).DialContext,
			TLSHandshakeTimeout: upstreamDial,
			ForceAttemptHTTP2:   true,
			MaxIdleConns:        upstreamIdleConns,
			MaxIdleConnsPerHost: upstreamIdleConns,
			IdleConnTimeout:     upstreamIdle,
			DisableCompression:  true, // a compressed stream would come in lumps
		}},
	}, nil
}

// NewMultiplexedUpstream returns the API at addr (host:port), spoken to in
// cleartext HTTP/2 with prior knowledge: streams share a few connections, as
// they would to a real upstream over TLS, and cost no descriptor each. There
// is more than one connection because one goroutine reads, and one writes, all
// frames of a connection: a single one holds streams up from some tens of
// thousands of events a second on.
func NewMultiplexedUpstream(addr, apiKey string) *Upstream {
	u := &Upstream{
		messages: (&url.URL{Scheme: "http", Host: addr, Path: wire.PathMessages}).String(),
		apiKey:   apiKey,
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	for range multiplexedConns {
		u.transports = append(u.transports, &http.Transport{
			Protocols:          protocols,
			DialContext:        (&net.Dialer{Timeout: upstreamDial}).DialContext,
			MaxConnsPerHost:    1, // else each request of a first burst dials its own
			IdleConnTimeout:    upstreamIdle,
			DisableCompression: true,
		})
	}
	return u
}

// roundTrip sends one request over the connection whose turn it is.
func (u *Upstream) roundTrip(req *http.Request) (*http.Response, error) {
	return u.transports[u.turn.Add(1)%uint64(len(u.transports))].RoundTrip(req)
}

// Close drops idle connections. Call it when no request is in flight any more.
func (u *Upstream) Close() {
	for _, transport := range u.transports {
		transport.CloseIdleConnections()
	}
}
