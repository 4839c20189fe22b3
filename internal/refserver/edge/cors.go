package edge

import (
	"net/http"
	"time"

	rscors "github.com/rs/cors"

	"github.com/edgeload/edgeload/internal/wire"
)

// preflightAge is how long a browser may keep the answer to a preflight.
const preflightAge = 24 * time.Hour

// cors answers preflights for any origin, with the headers that the
// platform's clients send and those of the simulator, and puts
// Access-Control-Allow-Origin on every answer, asked for or not, as the
// platform's functions do.
func cors(next http.Handler) http.Handler {
	policy := rscors.New(rscors.Options{
		AllowedOrigins: []string{"*"},
		AllowedMethods: []string{
			http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		},
		AllowedHeaders: append([]string{
			"authorization", "x-client-info", "apikey", "content-type", "x-region", "accept", "last-event-id", "x-api-key", "anthropic-version",
		}, wire.SimHeaders()...),
		ExposedHeaders: []string{HeaderErrorCode, wire.HeaderJobID, "Retry-After"},
		MaxAge:         int(preflightAge.Seconds()),
	}).Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		policy.ServeHTTP(w, r)
	})
}
