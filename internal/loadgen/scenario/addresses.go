package scenario

import (
	"fmt"
	"net/netip"
	"strings"
)

// SourceRange is one or more addresses of this machine that connections come
// from: "127.0.0.2", or a range such as "127.0.0.16/28" with every address in it,
// the first and the last included.
type SourceRange struct{ netip.Prefix }

// maxSources bounds the addresses of one workload.
const maxSources = 4096

const (
	sourceForm    = `an address such as 127.0.0.2 or a range such as 127.0.0.16/28`
	sourcePattern = `^[0-9a-fA-F.:]+(/[0-9]{1,3})?$`
)

// ParseSourceRange reads the notation of SourceRange.
func ParseSourceRange(text string) (SourceRange, error) {
	wrong := func() (SourceRange, error) { return SourceRange{}, fmt.Errorf("%q: want %s", text, sourceForm) }
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return wrong()
		}
		addr = addr.Unmap()
		return SourceRange{netip.PrefixFrom(addr, addr.BitLen())}, nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix.Addr().Is4In6() {
		return wrong()
	}
	if prefix != prefix.Masked() {
		return SourceRange{}, fmt.Errorf("%q: this range begins at %s", text, prefix.Masked())
	}
	r := SourceRange{prefix}
	if r.Len() > maxSources {
		return SourceRange{}, fmt.Errorf("%q: more than %d addresses", text, maxSources)
	}
	return r, nil
}

// Len is how many addresses the range has; maxSources + 1 for any more than that.
func (r SourceRange) Len() int {
	if bits := r.Addr().BitLen() - r.Bits(); bits < 13 {
		return 1 << bits
	}
	return maxSources + 1
}

// Addrs lists the addresses of ranges in their order.
func Addrs(ranges []SourceRange) []netip.Addr {
	var all []netip.Addr
	for _, r := range ranges {
		addr := r.Addr()
		for range r.Len() {
			all = append(all, addr)
			addr = addr.Next()
		}
	}
	return all
}

// String is the notation that ParseSourceRange reads.
func (r SourceRange) String() string {
	if r.IsSingleIP() {
		return r.Addr().String()
	}
	return r.Prefix.String()
}

// MarshalText writes the notation that UnmarshalText reads, in YAML and JSON.
func (r SourceRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the notation of SourceRange.
func (r *SourceRange) UnmarshalText(text []byte) (err error) {
	*r, err = ParseSourceRange(string(text))
	return err
}
