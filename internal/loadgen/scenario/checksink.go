package scenario

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Defaults of an LLM stream.
const (
	defaultTTFT   = 300 * time.Millisecond
	defaultGap    = 20 * time.Millisecond
	defaultTokens = 128
)

// oddsRounding is by how much the sum of odds may be above 1, as 0.1 ten times is.
const oddsRounding = 1e-9

// completeUpstream puts the defaults in; u may be nil.
func (c *checker) completeUpstream(at string, u *Upstream) {
	if u == nil || u.Stream == nil {
		return
	}
	at += ".stream"
	if !c.given(at + ".dialect") {
		u.Stream.Dialect = DialectAnthropic
	}
	if !c.given(at + ".ttft") {
		u.Stream.TTFT = Every(defaultTTFT)
	}
	if !c.given(at + ".gap") {
		u.Stream.Gap = Every(defaultGap)
	}
	if !c.given(at + ".tokens") {
		u.Stream.Tokens = Always(defaultTokens)
	}
}

// sink checks the sink's addresses and the upstreams that are no workload's.
func (c *checker) sink(at string, s *Sink) {
	if path := at + ".listen"; c.good(path) {
		if problem := listenProblem(s.Listen); problem != "" {
			c.wrong(path, "%s", problem)
		}
	}
	if path := at + ".url"; c.good(path) {
		if problem := sinkURLProblem(s.URL); problem != "" {
			c.wrong(path, "%s", problem)
		}
	}
	for name, u := range s.Upstreams {
		path := at + ".upstreams." + name
		if !IsName(name) {
			c.wrongKey(path, "%q: want at most 64 lower-case letters, digits and _, beginning with a letter", name)
		}
		if _, taken := c.scenario.Workloads[name]; taken {
			c.wrongKey(path, "a workload has this name, and its calls come to the same address")
		}
		if u == nil || c.bad[path] {
			continue
		}
		if correlate := path + ".correlate"; c.given(correlate) {
			c.wrongKey(correlate, "only the upstream of a retry workload has this key")
		}
		c.upstream(path, u)
	}
}

// CheckSink says what is wrong with where a sink is to be, as Sink's Listen and URL; an
// empty text is its default.
func CheckSink(listen, url string) error {
	if problem := listenProblem(listen); listen != "" && problem != "" {
		return fmt.Errorf("listen on %s", problem)
	}
	if problem := sinkURLProblem(url); url != "" && problem != "" {
		return fmt.Errorf("%q: %s", url, problem)
	}
	return nil
}

// listenProblem says why text is nothing to listen on; "" where it is.
func listenProblem(text string) string {
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return fmt.Sprintf("%q: want a host and a port, such as 127.0.0.1:9000, or :9000 for all addresses", text)
	}
	host, port := text[:i], text[i+1:]
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || port != strconv.FormatUint(n, 10) {
		return fmt.Sprintf("%q: want a port from 0 to 65535 behind the colon", text)
	}
	if strings.ContainsAny(host, "/ @") || strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		return fmt.Sprintf("%q: want a host such as 127.0.0.1, [::1] or localhost before the port", text)
	}
	return ""
}

// sinkURLProblem says why text is no address of a sink; "" where it is.
func sinkURLProblem(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return "want http:// or https:// and a host, such as http://host.docker.internal:9000"
	case u.User != nil:
		return "holds a user and password, which would stand in every request"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "has no query and no fragment: names are put behind it as /NAME"
	}
	return ""
}

// upstream checks a script.
func (c *checker) upstream(at string, u *Upstream) {
	replies, odds := at+".replies", at+".odds"
	if c.given(replies) && c.given(odds) {
		c.wrongKey(odds, "goes in place of replies; leave one of them out")
	}
	if c.good(replies) && len(u.Replies) == 0 {
		c.wrong(replies, "want at least one reply such as 503")
	}
	if c.good(odds) && len(u.Odds) == 0 {
		c.wrong(odds, "want at least one reply with its share, as 503: 10%%")
	}
	sum := 0.0
	for text, share := range u.Odds {
		if _, err := ParseReply(text); err != nil {
			c.wrongKey(join(odds, text), "%s", err)
		}
		sum += float64(share)
	}
	if c.good(odds) && sum > 1+oddsRounding {
		c.wrongKey(odds, "come to %.4g%%, more than 100%%", 100*sum)
	}
	if o := u.Outage; o != nil && !c.bad[at+".outage"] {
		c.positive(at+".outage.for", o.For > 0)
	}
	if l := u.Stream; l != nil && !c.bad[at+".stream"] {
		if path := at + ".stream.dialect"; c.good(path) && l.Dialect != DialectAnthropic && l.Dialect != DialectOpenAI {
			c.wrong(path, "a sink streams as %s or %s", DialectAnthropic, DialectOpenAI)
		}
		if path := at + ".stream.tokens"; c.good(path) && l.Tokens.Min() < 1 {
			c.wrong(path, "an answer has at least one token")
		}
	}
}
