package pace

import "time"

// Ramp returns when user u (from 0) of a closed model begins: the users are
// spread evenly over [0, ramp), the first at once.
func Ramp(users int, ramp time.Duration, u int) time.Duration {
	if users <= 0 || ramp <= 0 || u <= 0 {
		return 0
	}
	// In float64: ramp × u does not fit an int64 for large fleets.
	return time.Duration(float64(ramp) * (float64(min(u, users-1)) / float64(users)))
}
