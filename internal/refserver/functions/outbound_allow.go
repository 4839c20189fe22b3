package functions

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
)

// DefaultAllow is the text form of the list where none is given.
const DefaultAllow = "localhost,127.0.0.0/8,::1"

// AllowList says whom the server may call on a user's behalf. It holds names
// ("hooks.example.com", "*.example.com" for all below it, "*" for all), addresses and
// prefixes ("10.1.0.0/16"). The rules are:
//
//   - A name is looked up only if it is on the list.
//   - An address is called if a prefix on the list has it, or if it is a public one
//     and a name on the list led to it. So "*" does not reach a private network, nor
//     the machine itself: these need a prefix too.
//
// The zero value is DefaultAllow. It is immutable after UnmarshalText.
type AllowList struct {
	names    []string
	prefixes []netip.Prefix
}

// UnmarshalText reads names, addresses and prefixes, separated by commas.
func (l *AllowList) UnmarshalText(text []byte) error {
	var read AllowList
	for entry := range strings.SplitSeq(string(text), ",") {
		entry = strings.TrimSpace(entry)
		if prefix, err := netip.ParsePrefix(entry); err == nil {
			if prefix.Addr().Is4In6() {
				return fmt.Errorf("allow-list entry %q: write the IPv4 prefix itself", entry)
			}
			read.prefixes = append(read.prefixes, prefix.Masked())
		} else if addr, err := netip.ParseAddr(entry); err == nil && addr.Zone() == "" {
			addr = addr.Unmap()
			read.prefixes = append(read.prefixes, netip.PrefixFrom(addr, addr.BitLen()))
		} else if isNamePattern(entry) {
			read.names = append(read.names, strings.ToLower(entry))
		} else {
			return fmt.Errorf("allow-list entry %q: want a host name, *.NAME, *, an address or a prefix such as 10.1.0.0/16, without scheme or port", entry)
		}
	}
	*l = read
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (l AllowList) MarshalText() ([]byte, error) {
	l = l.orDefault()
	entries := slices.Clone(l.names)
	for _, p := range l.prefixes {
		if p.IsSingleIP() {
			entries = append(entries, p.Addr().String())
		} else {
			entries = append(entries, p.String())
		}
	}
	return []byte(strings.Join(entries, ",")), nil
}

func (l AllowList) orDefault() AllowList {
	if l.names == nil && l.prefixes == nil {
		return AllowList{names: []string{"localhost"}, prefixes: []netip.Prefix{
			netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
		}}
	}
	return l
}

// isNamePattern reports whether text is a host name or a pattern of one.
func isNamePattern(text string) bool {
	if text == "*" {
		return true
	}
	for label := range strings.SplitSeq(strings.TrimPrefix(text, "*."), ".") {
		if label == "" || strings.ContainsFunc(label, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return strings.Trim(text, "0123456789.") != "" // else a mistyped address
}

// hasName reports whether a name is on the list.
func (l AllowList) hasName(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return slices.ContainsFunc(l.names, func(name string) bool {
		if below, ok := strings.CutPrefix(name, "*"); ok {
			return strings.HasSuffix(host, below) && len(host) > len(below)
		}
		return host == name
	})
}

// Check says whether a URL may be called, as far as that goes without looking up its
// name: its name or its address must be on the list. The error is ErrNotAllowed.
func (l AllowList) Check(u *url.URL) error {
	if err := checkURL(u); err != nil {
		return fmt.Errorf("%w: %w", ErrNotAllowed, err)
	}
	return l.orDefault().checkHost(u.Hostname())
}

// checkHost says whether a URL's host may be called at all: an address that is
// allowed, or a name that may be looked up.
func (l AllowList) checkHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		return l.checkAddress(host, addr)
	}
	if !l.hasName(host) {
		return fmt.Errorf("host %s: %w: it is not on the allow-list", host, ErrNotAllowed)
	}
	return nil
}

// checkAddress says whether the address that a host led to may be connected to.
func (l AllowList) checkAddress(host string, addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	if slices.ContainsFunc(l.prefixes, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return nil
	}
	if _, err := netip.ParseAddr(host); err != nil && l.hasName(host) && isPublic(addr) {
		return nil
	}
	return fmt.Errorf("address %s of host %s: %w: it is not on the allow-list", addr, host, ErrNotAllowed)
}

// notPublic are the addresses that lead to no host of the internet, or to another
// address than they say: IANA's special-purpose registries (RFC 6890) beyond what
// netip knows.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"),          // IPv4-compatible
	netip.MustParsePrefix("64:ff9b::/96"),   // NAT64: an IPv4 address inside
	netip.MustParsePrefix("64:ff9b:1::/48"), // the same, locally
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), // Teredo among them
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), // 6to4: an IPv4 address inside
	netip.MustParsePrefix("3fff::/20"),
	netip.MustParsePrefix("fec0::/10"),
}

// isPublic reports whether an address is one of the internet at large.
func isPublic(addr netip.Addr) bool {
	return addr.IsGlobalUnicast() && !addr.IsPrivate() &&
		!slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// dialer returns a dial function that asks the list about each address right before
// it is connected to.
func (o *Outbound) dialer(resolver *net.Resolver) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, target string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(target)
		if err != nil {
			return nil, err
		}
		if err := o.allow.checkHost(host); err != nil {
			return nil, err
		}
		dialer := net.Dialer{Timeout: outboundDial, Resolver: resolver}
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("address %q: %w", address, ErrNotAllowed)
			}
			return o.allow.checkAddress(host, at.Addr())
		}
		return dialer.DialContext(ctx, network, target)
	}
}
