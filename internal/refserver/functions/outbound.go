package functions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Limits of the calls that are made on a user's behalf.
const (
	outboundDial       = 10 * time.Second
	outboundIdle       = 30 * time.Second
	outboundIdleConns  = 256
	outboundHeader     = 64 << 10 // bytes of an answer's headers
	outboundDrain      = 256 << 10
	defaultOutboundMax = 1 << 20
	maxCallURL         = 8000 // bytes, what RFC 9110 §4.1 asks everybody to take
	maxCallHost        = 253  // bytes, of a name in DNS; ground truth has it with each attempt
	fetchRedirects     = 20   // as many as fetch follows, WHATWG Fetch §4.4
)

// OutboundOptions sets up an Outbound; the zero value calls loopback only.
type OutboundOptions struct {
	Allow    AllowList     // who may be called; zero: DefaultAllow
	MaxBody  int           // bytes of an answer that are kept; 0: 1 MiB
	Resolver *net.Resolver // of names; nil: the system's
}

// Outbound makes the HTTP calls that a user asks the server for: the upstream of
// fetch-with-retry, webhooks, callbacks, cron's posts. Whom it calls is held against
// an AllowList at the instant of connecting, on the very address that is connected
// to, so that neither a name that resolves elsewhere, nor one that resolves anew, nor
// a redirect gets around it. Proxies of the environment are not used: they would
// connect in its place.
//
// It may be used concurrently. Close it when no call is in flight any more.
type Outbound struct {
	allow     AllowList
	maxBody   int
	transport *http.Transport
}

// NewOutbound returns an Outbound.
func NewOutbound(o OutboundOptions) *Outbound {
	out := &Outbound{allow: o.Allow.orDefault(), maxBody: o.MaxBody}
	if out.maxBody == 0 {
		out.maxBody = defaultOutboundMax
	}
	out.transport = &http.Transport{
		DialContext:            out.dialer(o.Resolver),
		TLSHandshakeTimeout:    outboundDial,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           outboundIdleConns,
		MaxIdleConnsPerHost:    outboundIdleConns,
		IdleConnTimeout:        outboundIdle,
		MaxResponseHeaderBytes: outboundHeader,
	}
	return out
}

// Close drops idle connections.
func (o *Outbound) Close() { o.transport.CloseIdleConnections() }

// Call is one request.
type Call struct {
	Method    string // empty: GET
	URL       *url.URL
	Header    http.Header // may be nil; hop-by-hop fields are left out
	Body      []byte
	Redirects int // that are followed at most; 0: a redirect is an answer like any other
}

// Reply is the answer to a Call.
type Reply struct {
	Status    int
	Header    http.Header
	Body      []byte // at most MaxBody
	Truncated bool   // there was more
}

// ErrNotAllowed is what a call ends in whose host or address is not on the
// allow-list, or whose URL or method is not one to call.
var ErrNotAllowed = errors.New("not allowed")

// ParseCallURL reads an absolute http or https URL without user and password. The
// error does not repeat the URL, which may hold a secret as Slack's webhooks do.
func ParseCallURL(text string) (*url.URL, error) {
	if len(text) > maxCallURL {
		return nil, fmt.Errorf("URL of %d bytes: want at most %d", len(text), maxCallURL)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("URL cannot be read")
	}
	return u, checkURL(u)
}

// checkURL reports whether u is one to call, whoever it names.
func checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https", u.Opaque != "":
		return fmt.Errorf("URL of scheme %q: want an absolute http or https URL", u.Scheme)
	case u.Hostname() == "":
		return errors.New("URL without a host")
	case len(u.Hostname()) > maxCallHost:
		return fmt.Errorf("URL with a host of %d bytes: want at most %d", len(u.Hostname()), maxCallHost)
	case u.User != nil:
		return fmt.Errorf("URL of host %s with a user or password", u.Host)
	}
	return nil
}

// Do makes one call. The error names the host, and nothing else of the URL or of the
// headers; it is ErrNotAllowed where the allow-list forbids the host, the address
// behind it, or one that a redirect leads to. ctx governs the whole call.
func (o *Outbound) Do(ctx context.Context, call Call) (Reply, error) {
	reply, err := o.do(ctx, call)
	if err != nil {
		return Reply{}, fmt.Errorf("call %s: %w", call.URL.Host, err)
	}
	return reply, nil
}

func (o *Outbound) do(ctx context.Context, call Call) (Reply, error) {
	if err := o.check(call.URL); err != nil {
		return Reply{}, err
	}
	switch call.Method {
	case http.MethodConnect, http.MethodTrace: // fetch forbids them too
		return Reply{}, fmt.Errorf("method %s: %w", call.Method, ErrNotAllowed)
	}
	req, err := http.NewRequestWithContext(ctx, call.Method, call.URL.String(), bytes.NewReader(call.Body))
	if err != nil {
		return Reply{}, errors.New("request cannot be made of this method and URL")
	}
	for name, values := range call.Header {
		if name = http.CanonicalHeaderKey(name); !hopByHop(name) {
			req.Header[name] = append(req.Header[name], values...)
		}
	}
	resp, err := o.follow(req, call.Redirects)
	if err != nil {
		return Reply{}, discreet(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return o.read(resp)
}

// follow sends a request, and follows at most so many redirects. It tells nobody
// where it comes from: net/http would add a Referer with the whole earlier URL.
func (o *Outbound) follow(req *http.Request, redirects int) (*http.Response, error) {
	if redirects == 0 {
		return o.transport.RoundTrip(req)
	}
	own := req.Header.Get("Referer") != ""
	client := http.Client{Transport: checkedLocation{o.transport}, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if len(via) > redirects {
			return http.ErrUseLastResponse
		}
		if !own {
			next.Header.Del("Referer")
		}
		return o.check(next.URL)
	}}
	return client.Do(req)
}

// checkedLocation refuses a redirect to what is no URL, as http.Client would, but
// without repeating it.
type checkedLocation struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (c checkedLocation) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(req)
	if err != nil || resp.StatusCode/100 != 3 {
		return resp, err
	}
	if _, err := resp.Location(); err != nil && !errors.Is(err, http.ErrNoLocation) {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("redirect (%d) to a URL that cannot be read", resp.StatusCode)
	}
	return resp, nil
}

// check holds a URL against the list as far as that goes without looking up its
// name; the rest is done by the dialer.
func (o *Outbound) check(u *url.URL) error {
	return o.allow.Check(u)
}

// read keeps the beginning of the answer's body, and reads on for a while so that
// the connection can be used again.
func (o *Outbound) read(resp *http.Response) (Reply, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(o.maxBody)+1))
	if err != nil {
		return Reply{}, fmt.Errorf("read the body of a %d: %w", resp.StatusCode, err)
	}
	reply := Reply{Status: resp.StatusCode, Header: resp.Header, Body: body}
	if len(body) > o.maxBody {
		reply.Body, reply.Truncated = body[:o.maxBody], true
		_, _ = io.CopyN(io.Discard, resp.Body, outboundDrain) // what is left after that costs the connection
	}
	return reply, nil
}

// brokenTransport is in net/http's error where an answer is no HTTP; it has no type of
// its own.
const brokenTransport = "transport connection broken"

// discreet takes off what net/http puts around an error, method and URL, and what it
// puts in of the answer, at whatever length.
func discreet(err error) error {
	if around, ok := errors.AsType[*url.Error](err); ok {
		err = around.Err
	}
	if errorClass(err) == classOther && strings.Contains(err.Error(), brokenTransport) {
		return errors.New("the answer is not HTTP that can be read")
	}
	return err
}

// hopByHop reports whether a field is of a connection, RFC 9110 §7.6.1, and not the
// user's to set.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Host", "Content-Length":
		return true
	}
	return strings.HasPrefix(name, "Proxy-")
}
