package chart

import (
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const lineWidth = vg.Length(1.6)

// add draws the series as the i-th of its chart: one line for each unbroken run
// of points, a dot for a run of one, dotted from Sparse on.
func (s Series) add(p *plot.Plot, i int, x, y side) error {
	colour := palette()[i%len(palette())]
	style := draw.LineStyle{Color: colour, Width: lineWidth, Dashes: dashes(i)}
	for _, run := range s.runs() {
		xys := make(plotter.XYs, len(run.points))
		for k, pt := range run.points {
			xys[k] = plotter.XY{X: x.place(pt.X), Y: y.place(pt.Y)}
		}
		if len(xys) == 1 {
			dot, err := plotter.NewScatter(xys)
			if err != nil {
				return err
			}
			dot.GlyphStyle = draw.GlyphStyle{Color: colour, Radius: 1.8, Shape: draw.CircleGlyph{}}
			p.Add(dot)
			continue
		}
		line, err := plotter.NewLine(xys)
		if err != nil {
			return err
		}
		line.LineStyle = style
		if run.sparse {
			line.Dashes = []vg.Length{1, 2.5}
		}
		if s.Step {
			line.StepStyle = plotter.PostStep
			faint := colour
			faint.A = 0x30
			line.FillColor = faint
			line.Dashes = nil
		}
		p.Add(line)
	}
	return nil
}

// A run is a stretch of a series with no gap, all sparse or none.
type run struct {
	points []Point
	sparse bool
}

// runs cuts the series at its gaps and where it becomes sparse; the sparse
// stretch begins at the last point before it, so that the line is whole.
func (s Series) runs() []run {
	var all []run
	var current run
	flush := func() {
		if len(current.points) > 0 {
			all = append(all, current)
		}
		current = run{}
	}
	for _, p := range s.Points {
		if math.IsNaN(p.Y) {
			flush()
			continue
		}
		if sparse := p.X > s.Sparse; sparse && !current.sparse && len(current.points) > 0 {
			last := current.points[len(current.points)-1]
			flush()
			current = run{points: []Point{last}, sparse: true}
		}
		current.points = append(current.points, p)
	}
	flush()
	return all
}

// drawLegend writes the names along the top, each behind a piece of its line.
func (c Chart) drawLegend(canvas draw.Canvas) {
	const swatch, gap = vg.Length(22), vg.Length(14)
	style := textStyle(text.XLeft, text.YCenter)
	x, y := canvas.Min.X, canvas.Max.Y-fontSize/2-1
	entry := func(name string, mark func(x vg.Length)) {
		mark(x)
		canvas.FillText(style, vg.Point{X: x + swatch + 5, Y: y}, name)
		x += swatch + 5 + style.Width(name) + gap
	}
	for i, s := range c.Series {
		entry(s.Name, func(x vg.Length) {
			line := draw.LineStyle{Color: palette()[i%len(palette())], Width: lineWidth, Dashes: dashes(i)}
			if s.Step {
				line.Dashes, line.Width = nil, 3*lineWidth
			}
			canvas.StrokeLine2(line, x, y, x+swatch, y)
		})
	}
	if c.Warmup > 0 {
		entry("warm-up", func(x vg.Length) {
			half := fontSize / 2
			canvas.FillPolygon(ink(0x24), []vg.Point{
				{X: x, Y: y - half}, {X: x + swatch, Y: y - half}, {X: x + swatch, Y: y + half}, {X: x, Y: y + half},
			})
		})
	}
}
