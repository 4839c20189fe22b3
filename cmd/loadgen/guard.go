package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/pace"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// lookUpTimeout bounds the look-up of a host's addresses.
const lookUpTimeout = 5 * time.Second

// A guard keeps load from going to other machines unasked: what is not on this one
// needs --allow-remote.
type guard struct {
	allowed bool
	stderr  io.Writer
	lookUp  func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// check refuses scenarios that would send to another machine, or, where that is
// allowed, says what they are about to send, a line each.
func (g guard) check(ctx context.Context, scenarios []*scenario.Scenario) error {
	var errs []error
	for _, sc := range scenarios {
		hosts := g.remote(ctx, sc)
		if len(hosts) == 0 {
			continue
		}
		what, err := volume(sc)
		if err != nil {
			return err
		}
		line := fmt.Sprintf("scenario %s: %s to %s", sc.Name, what, strings.Join(hosts, ", "))
		if !g.allowed {
			errs = append(errs, fmt.Errorf("%s, which is not this machine: give --allow-remote where you may load it", line))
			continue
		}
		if _, err := fmt.Fprintln(g.stderr, "loadgen: "+line); err != nil {
			return fmt.Errorf("say what is about to be sent: %w", err)
		}
	}
	return usage(errors.Join(errs...))
}

// remote lists the hosts of sc that are not this machine: of its target, and of the
// address that its sink is given out under.
func (g guard) remote(ctx context.Context, sc *scenario.Scenario) []string {
	addresses := []string{sc.Target}
	if sc.Sink != nil && sc.Sink.URL != "" {
		addresses = append(addresses, sc.Sink.URL)
	}
	var hosts []string
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err != nil {
			continue // no address, and refused as one
		}
		if host := u.Hostname(); !slices.Contains(hosts, host) && !g.local(ctx, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// local reports that all addresses of host are loopback. A host that is not found
// may be anywhere.
func (g guard) local(ctx context.Context, host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	found, err := g.lookUp(ctx, "ip", host)
	return err == nil && len(found) > 0 && !slices.ContainsFunc(found, func(a netip.Addr) bool { return !a.Unmap().IsLoopback() })
}

// volume says how much sc is about to send.
func volume(sc *scenario.Scenario) (string, error) {
	warmup, duration := time.Duration(sc.Warmup), time.Duration(sc.Duration)
	var peak float64
	var arrivals uint64
	users, sessions := 0, false
	for name, w := range sc.Workloads {
		sessions = sessions || w.Load.Session != nil
		if w.Protocol == scenario.Cron {
			continue // the target sends, not we
		}
		if w.Load.Users > 0 {
			users += w.Load.Users
			continue
		}
		var schedule interface {
			Peak() float64
			Count() (uint64, bool)
		}
		if w.Load.Trace != nil {
			rows, err := scenario.OpenTrace(sc.Dir, w.Load.Trace)
			if err != nil {
				return "", fmt.Errorf("workload %s: %w", name, err)
			}
			schedule = pace.NewReplay(rows, warmup, duration)
		} else {
			s, err := pace.New(w.Load, warmup, duration, sc.Seed)
			if err != nil {
				return "", fmt.Errorf("workload %s: %w", name, err)
			}
			schedule = s
		}
		n, _ := schedule.Count()
		peak, arrivals = peak+schedule.Peak(), arrivals+n
	}
	var parts []string
	if arrivals > 0 {
		what := "arrivals"
		if sessions {
			what = "arrivals and the later turns of their sessions"
		}
		parts = append(parts, fmt.Sprintf("at most %v/s, %d %s", math.Round(10*peak)/10, arrivals, what))
	}
	if users > 0 {
		parts = append(parts, fmt.Sprintf("%d users", users))
	}
	if len(parts) == 0 {
		parts = []string{"no load of its own"}
	}
	return fmt.Sprintf("%s in %v", strings.Join(parts, " and "), warmup+duration), nil
}

// newGuard is the guard of a command.
func newGuard(allowed bool, stderr io.Writer) guard {
	return guard{allowed, stderr, net.DefaultResolver.LookupNetIP}
}
