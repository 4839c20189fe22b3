package chart

import (
	"bytes"
	"fmt"
	"html"
	"regexp"
	"strings"

	"gonum.org/v1/plot/vg/vgsvg"
)

// SVG draws the chart. The same chart always gives the same bytes. The picture
// scales to the width of what holds it.
func (c Chart) SVG() ([]byte, error) {
	canvas := vgsvg.New(width, height)
	if err := c.draw(canvas); err != nil {
		return nil, err
	}
	var raw bytes.Buffer
	if _, err := canvas.WriteTo(&raw); err != nil {
		return nil, fmt.Errorf("write chart %s: %w", c.Title, err)
	}
	return c.restyle(raw.String()), nil
}

// restyle replaces gonum's head by one that scales, and its fixed colours by
// those of the page.
func (c Chart) restyle(svg string) []byte {
	_, body, _ := strings.Cut(svg, "<g ")
	replacements := []string{
		// Set once, on the root.
		"font-family:Liberation Sans;font-variant:none;font-weight:normal;font-style:normal;", "",
		fmt.Sprintf("font-size:%gpx", float64(fontSize)), "",
		"stroke:#000000", "stroke:currentColor",
		"fill:#000000", "fill:currentColor",
		`style=""`, "",
	}
	for i, colour := range palette() {
		fixed := fmt.Sprintf("#%02X%02X%02X", colour.R, colour.G, colour.B)
		replacements = append(replacements, ":"+fixed, fmt.Sprintf(":var(--chart-%d,%s)", i+1, fixed))
	}
	body = strings.NewReplacer(replacements...).Replace(body)
	body = regexp.MustCompile(`\s*\n\s*`).ReplaceAllString(body, " ")

	var b bytes.Buffer
	title := html.EscapeString(c.Title)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="100%%" role="img" aria-label="%s" fill="currentColor" font-family="Liberation Sans,Arimo,Arial,Helvetica,sans-serif" font-size="%g">`,
		float64(width), float64(height), title, float64(fontSize))
	fmt.Fprintf(&b, "<title>%s</title><g %s", title, body)
	return b.Bytes()
}
