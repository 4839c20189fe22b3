package scenario

import (
	"net/netip"
	"net/url"
)

// Defaults of Connect, chosen by measurement: see docs/accuracy.md.
const (
	defaultConnectRate   = Rate(5000)
	defaultConnectAtOnce = 500
)

// maxAtOnce bounds connects under way at once.
const maxAtOnce = 100_000

func (c *checker) completeConnect(at string, w *Workload) {
	if !c.given(at + ".connect.rate") {
		w.Connect.Rate = defaultConnectRate
	}
	if !c.given(at + ".connect.at_once") {
		w.Connect.AtOnce = defaultConnectAtOnce
	}
}

func (c *checker) connect(at string, w *Workload) {
	c.positive(at+".connect.rate", w.Connect.Rate > 0)
	c.within(at+".connect.at_once", w.Connect.AtOnce, 1, maxAtOnce)
	c.source(at+".source", w.Source)
}

// source checks that the addresses are few enough, of one family, which is the
// target's, and, where that is known, of this machine.
func (c *checker) source(at string, ranges []SourceRange) {
	if !c.good(at) {
		return
	}
	if len(ranges) == 0 {
		c.wrong(at, "want at least one address")
	}
	total := 0
	var family netip.Addr
	for i, r := range ranges {
		item := c.item(at, i)
		if !c.good(item) {
			continue
		}
		if total += r.Len(); total > maxSources {
			c.wrong(item, "more than %d addresses with those before", maxSources)
			return
		}
		if !family.IsValid() {
			family = r.Addr()
		}
		switch target := c.targetAddr(); {
		case r.Addr().Is4() != family.Is4():
			c.wrong(item, "%s and %s are not of one family: a workload is IPv4 or IPv6", r, family)
		case target.IsValid() && r.Addr().Is4() != target.Is4():
			c.wrong(item, "%s cannot reach the target, %s: one is IPv4, the other IPv6", r, target)
		default:
			c.local(item, r)
		}
	}
}

// local checks that the addresses of r are of this machine.
func (c *checker) local(item string, r SourceRange) {
	if c.options.Local == nil {
		return
	}
	for _, addr := range Addrs([]SourceRange{r}) {
		if !c.options.Local(addr) {
			c.wrong(item, "%s is not an address of this machine", addr)
			return
		}
	}
}

// targetAddr is the target's address; the zero Addr where it has a name.
func (c *checker) targetAddr() netip.Addr {
	u, err := url.Parse(c.scenario.Target)
	if err != nil {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}
