package functions

import (
	"net/netip"
	"strings"
	"testing"
)

func allow(t testing.TB, text string) AllowList {
	t.Helper()
	var l AllowList
	if err := l.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAllowListAddresses(t *testing.T) {
	const private = "10.0.0.0/8,fd00::/8"
	for _, tc := range []struct {
		list, host, addr string
		ok               bool
	}{
		// The default is the machine itself, in every form of its address.
		{DefaultAllow, "localhost", "127.0.0.1", true},
		{DefaultAllow, "127.9.9.9", "127.9.9.9", true},
		{DefaultAllow, "::1", "::1", true},
		{DefaultAllow, "::ffff:127.0.0.1", "::ffff:127.0.0.1", true},
		{DefaultAllow, "::ffff:10.0.0.1", "::ffff:10.0.0.1", false},
		{DefaultAllow, "10.0.0.1", "10.0.0.1", false},
		{DefaultAllow, "0.0.0.0", "0.0.0.0", false}, // Linux connects it to loopback
		{DefaultAllow, "::", "::", false},
		{DefaultAllow, "8.8.8.8", "8.8.8.8", false},
		{DefaultAllow, "localhost", "10.0.0.1", false},
		// A name on the list reaches public addresses, and no others.
		{"api.example.com", "api.example.com", "93.184.215.14", true},
		{"api.example.com", "API.example.com.", "2606:4700::1111", true},
		{"api.example.com", "api.example.com", "::ffff:93.184.215.14", true},
		{"api.example.com", "api.example.com", "127.0.0.1", false},
		{"api.example.com", "api.example.com", "169.254.169.254", false},
		{"api.example.com", "api.example.com", "::ffff:169.254.169.254", false},
		{"api.example.com", "api.example.com", "192.168.1.1", false},
		{"api.example.com", "api.example.com", "100.64.0.1", false},
		{"api.example.com", "api.example.com", "224.0.0.1", false},
		{"api.example.com", "api.example.com", "255.255.255.255", false},
		{"api.example.com", "api.example.com", "fe80::1%eth0", false},
		{"api.example.com", "api.example.com", "fd00::1", false},
		{"api.example.com", "api.example.com", "::127.0.0.1", false},
		{"api.example.com", "api.example.com", "64:ff9b::7f00:1", false},
		{"api.example.com", "api.example.com", "2002:7f00:1::", false},
		{"api.example.com", "other.example.com", "93.184.215.14", false},
		{"*", "api.example.com", "93.184.215.14", true},
		{"*", "api.example.com", "10.1.2.3", false},
		{"*", "93.184.215.14", "93.184.215.14", false}, // it is no name
		// With a prefix too, a name reaches what is inside.
		{"*.internal," + private, "db.internal", "10.1.2.3", true},
		{"*.internal," + private, "db.internal", "fd00::7", true},
		{"*.internal," + private, "db.internal", "192.168.1.1", false},
		{"0.0.0.0/0,::/0", "1.2.3.4", "1.2.3.4", true},
	} {
		err := allow(t, tc.list).checkAddress(tc.host, netip.MustParseAddr(tc.addr))
		if (err == nil) != tc.ok {
			t.Errorf("list %s: %s at %s: %v, want allowed: %t", tc.list, tc.host, tc.addr, err, tc.ok)
		}
	}
}

func TestAllowListNames(t *testing.T) {
	for _, tc := range []struct {
		list, host string
		ok         bool
	}{
		{DefaultAllow, "localhost", true},
		{DefaultAllow, "LOCALHOST", true},
		{DefaultAllow, "localhost.example.com", false},
		{DefaultAllow, "127.1", false},      // a resolver may take it for 127.0.0.1
		{DefaultAllow, "2130706433", false}, // and this
		{DefaultAllow, "127.0.0.2", true},
		{"*.example.com", "a.example.com", true},
		{"*.example.com", "a.b.example.com", true},
		{"*.example.com", "example.com", false},
		{"*.example.com", ".example.com", false},
		{"*.example.com", "notexample.com", false},
		{"*.example.com", "a.example.com.evil.test", false},
		{"10.0.0.0/8", "ten.test", false},
		{"*", "anything", true},
	} {
		if err := allow(t, tc.list).checkHost(tc.host); (err == nil) != tc.ok {
			t.Errorf("list %s, host %s: %v, want allowed: %t", tc.list, tc.host, err, tc.ok)
		}
	}
}

func TestAllowListText(t *testing.T) {
	for text, want := range map[string]string{
		DefaultAllow:                      DefaultAllow,
		" Hooks.Example.com , 10.1.2.3/8": "hooks.example.com,10.0.0.0/8",
		"::ffff:10.1.2.3":                 "10.1.2.3",
		"*,0.0.0.0/0,::/0":                "*,0.0.0.0/0,::/0",
	} {
		got, err := allow(t, text).MarshalText()
		if err != nil || string(got) != want {
			t.Errorf("%q reads as %q, %v; want %q", text, got, err, want)
		}
	}
	if got, err := (AllowList{}).MarshalText(); string(got) != DefaultAllow || err != nil {
		t.Errorf("the zero list is written %q, %v", got, err)
	}
	for _, text := range []string{"", "a,,b", "http://a", "a:80", "a/b", "10.0.0/8", "10.0.0.0/33", "300.1.1.1", "::ffff:10.0.0.0/104", "a.*.b", "fe80::1%eth0", "*a"} {
		var l AllowList
		if err := l.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "allow-list entry") {
			t.Errorf("%q reads as %+v, %v", text, l, err)
		}
	}
}

func FuzzAllowList(f *testing.F) {
	f.Add(DefaultAllow, "localhost", "127.0.0.1")
	f.Add("*.example.com,10.0.0.0/8,fd00::/8", "a.example.com", "::ffff:10.0.0.1")
	f.Fuzz(func(t *testing.T, text, host, address string) {
		var l, again AllowList
		if l.UnmarshalText([]byte(text)) != nil {
			return
		}
		written, err := l.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalText(written); err != nil {
			t.Fatalf("%q is written %q, which cannot be read: %v", text, written, err)
		}
		addr, err := netip.ParseAddr(address)
		if err != nil {
			return
		}
		first, second := l.checkAddress(host, addr), again.checkAddress(host, addr)
		if (first == nil) != (second == nil) || (first == nil) != (l.checkAddress(host, addr.Unmap()) == nil) {
			t.Fatalf("%q, %s at %s: %v, then %v", text, host, addr, first, second)
		}
	})
}
