package admin

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/goccy/go-yaml"

	"github.com/edgeload/edgeload/internal/refserver/edge"
)

//go:embed openapi.yaml
var description []byte

// Description is the OpenAPI 3.0 document of everything that the server serves, as
// JSON.
func Description() ([]byte, error) {
	var document map[string]any
	if err := yaml.Unmarshal(description, &document); err != nil {
		return nil, fmt.Errorf("read the OpenAPI description: %w", err)
	}
	return json.Marshal(document)
}

// DescriptionHandler serves Description to anyone, at wire.PathOpenAPI.
func DescriptionHandler() (http.Handler, error) {
	body, err := Description()
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !edge.AllowMethod(w, r, http.MethodGet, http.MethodHead) {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body) // the client has left: nobody to tell
	}), nil
}
