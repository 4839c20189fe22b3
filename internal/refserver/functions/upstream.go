package functions

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/llm"
	"github.com/edgeload/edgeload/internal/wire"
)

// Limits of the connections to an external upstream.
const (
	upstreamDial      = 10 * time.Second
	upstreamIdle      = 90 * time.Second
	upstreamIdleConns = 1024    // kept for each host, HTTP/1.1 only
	pipeBuffer        = 4 << 10 // bytes read from the upstream at once
)

// Upstream is an LLM API that functions call. Its methods may be called
// concurrently.
type Upstream interface {
	// Answer asks the API and writes what it answers to w as it comes: header,
	// status, and each piece of the body with a flush after it. body is the JSON of
	// the request; of the headers of from, those of the simulator go with it. ctx
	// governs the whole answer.
	//
	// An error means that nothing was answered. An answer that has begun and breaks
	// off ends with a panic of http.ErrAbortHandler, so that w's client sees it.
	Answer(ctx context.Context, w http.ResponseWriter, body []byte, from http.Header) error
}

// Embedded is the simulator of this process, called in the caller's own goroutine:
// what it writes goes to the client with no connection between them.
func Embedded(simulator http.Handler, api llm.API) Upstream {
	return &embedded{simulator: simulator, url: url.URL{Path: api.Path()}}
}

type embedded struct {
	simulator http.Handler
	url       url.URL // read only
}

// Answer implements Upstream.
func (e *embedded) Answer(ctx context.Context, w http.ResponseWriter, body []byte, from http.Header) error {
	r := (&http.Request{
		Method: http.MethodPost, URL: &e.url, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header), Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}).WithContext(ctx)
	copyHeaders(r.Header, from, wire.SimHeaders()...)
	e.simulator.ServeHTTP(w, r)
	return nil
}

// External is an API somewhere else, spoken to by net/http: HTTP/1.1 on http, where
// each stream costs a connection, and HTTP/2 if offered on https.
type External struct {
	endpoint  string
	header    http.Header // of every request
	transport *http.Transport
}

// NewExternal returns the API at base, an http or https URL as the official
// clients take it: for Anthropic's API /v1/messages is appended, for OpenAI's
// /chat/completions, so that this one's base ends in /v1. The key may be empty.
func NewExternal(api llm.API, base *url.URL, key string) (*External, error) {
	if (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, fmt.Errorf("upstream %q: want an http or https URL", base.Redacted())
	}
	x := &External{
		header: http.Header{"Content-Type": {"application/json"}},
		transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: upstreamDial}).DialContext,
			TLSHandshakeTimeout: upstreamDial,
			ForceAttemptHTTP2:   true,
			MaxIdleConns:        upstreamIdleConns,
			MaxIdleConnsPerHost: upstreamIdleConns,
			IdleConnTimeout:     upstreamIdle,
			DisableCompression:  true, // a compressed stream would come in lumps
		},
	}
	if api == llm.OpenAI {
		x.endpoint = base.JoinPath("chat/completions").String()
		if key != "" {
			x.header.Set("Authorization", "Bearer "+key)
		}
		return x, nil
	}
	x.endpoint = base.JoinPath(wire.PathMessages).String()
	x.header.Set("Anthropic-Version", "2023-06-01")
	if key != "" {
		x.header.Set("X-Api-Key", key)
	}
	return x, nil
}

// Close drops idle connections. Call it when no request is in flight any more.
func (x *External) Close() { x.transport.CloseIdleConnections() }

// Answer implements Upstream.
func (x *External) Answer(ctx context.Context, w http.ResponseWriter, body []byte, from http.Header) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.endpoint, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make the upstream request: %w", err)
	}
	req.Header = x.header.Clone()
	copyHeaders(req.Header, from, wire.SimHeaders()...)
	resp, err := x.transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("ask the upstream: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // drops what is unread and, with it, the upstream's stream
	copyHeaders(w.Header(), resp.Header, answeredHeaders...)
	w.WriteHeader(resp.StatusCode)
	if err := pipe(w, resp.Body); err != nil {
		panic(http.ErrAbortHandler) // net/http's way to end an answer as broken off
	}
	return nil
}

// copyHeaders copies the named fields that are present.
func copyHeaders(to, from http.Header, names ...string) {
	for _, name := range names {
		if values := from.Values(name); len(values) > 0 {
			to[http.CanonicalHeaderKey(name)] = values
		}
	}
}

// pipe sends the headers, then copies from to w and flushes after every read.
func pipe(w http.ResponseWriter, from io.Reader) error {
	rc := http.NewResponseController(w)
	if err := rc.Flush(); err != nil {
		return fmt.Errorf("flush headers to the client: %w", err)
	}
	buf := make([]byte, pipeBuffer)
	for {
		n, rerr := from.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return fmt.Errorf("write to the client: %w", err)
			}
			if err := rc.Flush(); err != nil {
				return fmt.Errorf("flush to the client: %w", err)
			}
		}
		if rerr == io.EOF {
			return nil
		}
		if rerr != nil {
			return fmt.Errorf("read from the upstream: %w", rerr)
		}
	}
}
