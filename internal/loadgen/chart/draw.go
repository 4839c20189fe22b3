package chart

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// The picture's size in its own units. It is small, so that text of fontSize is
// still read when a phone's 330 pixels hold it all.
const (
	width    = vg.Length(370)
	height   = vg.Length(235)
	fontSize = vg.Length(11.5)
	header   = vg.Length(35) // legend and the label of Y
)

// ink is what SVG turns into currentColor: text, axes and, thinned, the grid.
func ink(alpha uint8) color.Color { return color.NRGBA{A: alpha} }

// palette is Okabe and Ito's set for all kinds of colour vision; SVG turns each
// into a variable of the page.
func palette() []color.NRGBA {
	return []color.NRGBA{
		{R: 0x00, G: 0x72, B: 0xB2, A: 0xFF},
		{R: 0xD5, G: 0x5E, B: 0x00, A: 0xFF},
		{R: 0x00, G: 0x9E, B: 0x73, A: 0xFF},
		{R: 0xCC, G: 0x79, B: 0xA7, A: 0xFF},
	}
}

// dashes tell lines apart where colours do not.
func dashes(i int) []vg.Length {
	return [][]vg.Length{nil, {6, 2.5}, {2, 2}, {8, 2, 2, 2}}[i%4]
}

func textStyle(x text.XAlignment, y text.YAlignment) text.Style {
	return text.Style{
		Color:   ink(0xFF),
		Font:    font.Font{Typeface: "Liberation", Variant: "Sans", Size: fontSize},
		XAlign:  x,
		YAlign:  y,
		Handler: plot.DefaultTextHandler,
	}
}

// draw puts the chart onto any canvas of gonum/plot.
func (c Chart) draw(canvas vg.CanvasSizer) error {
	p := plot.New()
	p.BackgroundColor = nil
	yLabel, err := c.fill(p)
	if err != nil {
		return err
	}
	whole := draw.New(canvas)
	c.drawLegend(whole)
	top := whole.Max.Y - fontSize - 6
	whole.FillText(textStyle(text.XLeft, text.YTop), vg.Point{X: whole.Min.X, Y: top}, yLabel)
	p.Draw(draw.Crop(whole, 0, -8, 0, -header))
	return nil
}

// fill sets up p's axes and lines and returns the label of Y, which stands
// above its axis and not sideways beside it.
func (c Chart) fill(p *plot.Plot) (yLabel string, err error) {
	xs, ys := c.extent()
	x, y := layout(c.X, xs, 6), layout(c.Y, ys, 4)
	p.X.Min, p.X.Max, p.X.Scale, p.X.Tick.Marker = x.low, x.high, x.scale, plot.ConstantTicks(x.ticks)
	p.Y.Min, p.Y.Max, p.Y.Scale, p.Y.Tick.Marker = y.low, y.high, y.scale, plot.ConstantTicks(y.ticks)
	p.X.Label.Text = x.label
	p.X.Label.TextStyle = textStyle(text.XCenter, text.YBottom)
	p.X.Label.Padding = 2
	p.X.Tick.Label = textStyle(text.XCenter, text.YTop)
	p.Y.Tick.Label = textStyle(text.XRight, text.YCenter)
	p.X.LineStyle, p.Y.LineStyle = draw.LineStyle{Color: ink(0xFF), Width: 0.75}, draw.LineStyle{}
	p.X.Tick.LineStyle, p.Y.Tick.LineStyle = draw.LineStyle{Color: ink(0xFF), Width: 0.75}, draw.LineStyle{}
	p.X.Tick.Length, p.Y.Tick.Length = 3, 0
	p.X.Padding, p.Y.Padding = 0, 4

	if c.Warmup > 0 {
		p.Add(band{from: x.place(0), to: x.place(min(c.Warmup, xs.high))})
	}
	grid := plotter.NewGrid()
	grid.Vertical = draw.LineStyle{}
	grid.Horizontal = draw.LineStyle{Color: ink(0x24), Width: 0.75}
	p.Add(grid)
	for i, s := range c.Series {
		if err := s.add(p, i, x, y); err != nil {
			return "", fmt.Errorf("draw %s of %s: %w", s.Name, c.Title, err)
		}
	}
	return y.label, nil
}

// span is the lowest and highest value along an axis; low is above 0 where
// any value is.
type span struct{ low, high float64 }

func (s *span) include(v float64) {
	if math.IsNaN(v) {
		return
	}
	if v > 0 && (s.low == 0 || v < s.low) {
		s.low = v
	}
	s.high = max(s.high, v)
}

func (c Chart) extent() (x, y span) {
	for _, s := range c.Series {
		for _, p := range s.Points {
			x.include(p.X)
			y.include(p.Y)
		}
	}
	return x, y
}

// side is an axis laid out: values are placed in plot coordinates, which are
// the shown unit on a linear axis, exponents of ten on a logarithmic one and
// quantiles on one of nines.
type side struct {
	low, high float64
	place     func(float64) float64
	scale     plot.Normalizer
	ticks     []plot.Tick
	label     string
}

// layout chooses range, unit and marks; about count of them on a linear axis.
func layout(a Axis, s span, count int) side {
	switch a.Scale {
	case Nines:
		high := max(s.high, 0.9)
		return side{high: high, place: func(v float64) float64 { return v }, scale: nines{}, ticks: nineTicks(high), label: a.Label}
	case Log:
		least := 1e-3
		if a.Duration {
			least = smallestLatency
		}
		low, high := math.Log10(max(s.low, least)), math.Log10(max(s.high, least))
		margin := max((high-low)*0.04, 0.02)
		low, high = low-margin, high+margin
		return side{
			low: low, high: high, scale: plot.LinearScale{}, label: a.Label,
			place: func(v float64) float64 { return math.Log10(max(v, least)) },
			ticks: logTicks(low, high, a.Duration),
		}
	default:
		div, label := 1.0, a.Label
		if a.Duration {
			u := unitFor(s.high)
			div, label = u.ns, fmt.Sprintf("%s (%s)", a.Label, u.name)
		}
		ticks := linearTicks(s.high/div, count)
		last := ticks[len(ticks)-1].Value
		if high := s.high / div; count > 4 && high > 0 { // the foot ends where the data does
			last = high
		}
		return side{
			high: last, scale: plot.LinearScale{}, label: label, ticks: ticks,
			place: func(v float64) float64 { return v / div },
		}
	}
}

// band shades the warm-up.
type band struct{ from, to float64 }

// Plot implements plot.Plotter.
func (b band) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	c.FillPolygon(ink(0x14), []vg.Point{
		{X: x(b.from), Y: c.Min.Y}, {X: x(b.to), Y: c.Min.Y},
		{X: x(b.to), Y: c.Max.Y}, {X: x(b.from), Y: c.Max.Y},
	})
}
