package admin

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// settings are the switches as they stand, by name.
func (a *admin) settings() map[string]string {
	all := make(map[string]string, len(a.Switches))
	for name, s := range a.Switches {
		all[name] = s.Get()
	}
	return all
}

// faults answers how the switches stand.
func (a *admin) faults(w http.ResponseWriter, _ *http.Request) error { return give(w, a.settings()) }

// setFaults turns the switches that the body names. Where one is refused, those
// that were turned before it are turned back.
func (a *admin) setFaults(w http.ResponseWriter, r *http.Request) error {
	var wanted map[string]string
	if err := take(r, &wanted); err != nil {
		return err
	}
	for name := range wanted {
		if _, ok := a.Switches[name]; !ok {
			return bad("no fault switch %q: want one of %s", name, strings.Join(slices.Sorted(maps.Keys(a.Switches)), ", "))
		}
	}
	before := a.settings()
	var turned []string
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if err := a.Switches[name].Set(wanted[name]); err != nil {
			for _, name := range turned {
				if back := a.Switches[name].Set(before[name]); back != nil {
					return back
				}
			}
			return bad("fault switch %s: %v", name, err)
		}
		turned = append(turned, name)
	}
	return give(w, a.settings())
}

// clearFaults turns every switch off.
func (a *admin) clearFaults(w http.ResponseWriter, _ *http.Request) error {
	for _, s := range a.Switches {
		if err := s.Set(""); err != nil {
			return err
		}
	}
	return give(w, a.settings())
}
