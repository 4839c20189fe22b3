package report

import (
	"bytes"
	"embed"
	"html/template"
	"io"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

//go:embed page.html page.css
var page embed.FS

// HTML writes one self-contained page: no script, no request to anywhere, light
// or dark as the reader has it, and fit for a phone and for paper.
func HTML(w io.Writer, r *result.Result) error {
	v, err := newView(r)
	if err != nil {
		return err
	}
	data := htmlPage{view: v, Columns: columns(), SparseNote: sparseNote()}
	for i, shown := range v.Workloads {
		pictures, err := figures(&r.Workloads[i], time.Duration(r.Scenario.Warmup))
		if err != nil {
			return err
		}
		data.Sections = append(data.Sections, htmlWorkload{shown, pictures})
	}
	if data.ServerFigures, err = resourceFigures(r.Resources, time.Duration(r.Scenario.Warmup)); err != nil {
		return err
	}
	css, err := page.ReadFile("page.css")
	if err != nil {
		return err
	}
	data.CSS = template.CSS(css)
	t, err := template.ParseFS(page, "page.html")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return err
	}
	_, err = b.WriteTo(w)
	return err
}

type htmlPage struct {
	*view
	CSS      template.CSS
	Columns  []string
	Sections []htmlWorkload
	// ServerFigures are of the server under test.
	ServerFigures []figure
	SparseNote    string
}

type htmlWorkload struct {
	workload
	Figures []figure
}
