// Package functions holds the guide's edge functions, one file each, and what
// they share: their names and the upstream they call.
//
// A function is an http.Handler that package edge serves under its name; it
// answers errors in the platform's form through edge, and knows nothing of
// listeners, flags or the other functions.
package functions

// Names of the functions, as they stand in the path.
const (
	NameStreamAI       = "stream-ai"
	NameWSRelay        = "ws-relay"
	NameTrackEvent     = "track-event"
	NameFetchWithRetry = "fetch-with-retry"
	NameMorningDigest  = "morning-digest"
	NameLimits         = "limits"
)
