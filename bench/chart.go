package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strings"
)

// chart is a line chart that is written as SVG.
type chart struct {
	file           string
	title          string
	xLabel, yLabel string
	xTicks         []tick
	logY           bool
	formatY        func(float64) string
	series         []series
}

type tick struct {
	at    float64
	label string
}

type series struct {
	name   string
	note   string // after the name in the legend
	points []xy
}

type xy struct{ x, y float64 }

// Geometry, in pixels.
const (
	chartWidth, chartHeight  = 840, 420
	plotLeft, plotRight      = 84, 590
	plotTop, plotBottom      = 48, 360
	legendLeft, legendStride = 610, 22
)

// style tells the lines apart by colour and by dashes.
var style = map[string]struct{ colour, dash string }{
	ours:            {"#d62728", ""},
	oursGogo:        {"#ff7f0e", ""},
	"ttrpc-v1.2.10": {"#1f77b4", ""},
	"ttrpc-v1.0.2":  {"#17becf", "6 3"},
	"grpc":          {"#2ca02c", ""},
	"drpc":          {"#9467bd", ""},
	"netrpc":        {"#8c564b", "6 3"},
	"raw":           {"#7f7f7f", "2 3"},
}

// svg draws the chart on a white ground, so that it reads in a dark page too.
func (c chart) svg() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12" fill="#222">`+"\n",
		chartWidth, chartHeight, chartWidth, chartHeight)
	fmt.Fprintf(&b, "<title>%s</title>\n", html.EscapeString(c.title))
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/>`+"\n")
	text(&b, plotLeft, 26, "start", `font-size="15" font-weight="bold"`, c.title)
	c.axes(&b)
	for i, s := range c.series {
		c.line(&b, s)
		c.legend(&b, s, plotTop+10+i*legendStride)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func (c chart) axes(b *bytes.Buffer) {
	for _, t := range c.xTicks {
		x := c.x(t.at)
		fmt.Fprintf(b, `<path d="M%.1f %d V%d" stroke="#e4e4e4"/>`+"\n", x, plotTop, plotBottom)
		text(b, x, plotBottom+18, "middle", "", t.label)
	}
	for _, v := range c.yTicks() {
		y := c.y(v)
		fmt.Fprintf(b, `<path d="M%d %.1f H%d" stroke="#e4e4e4"/>`+"\n", plotLeft, y, plotRight)
		text(b, plotLeft-8, y+4, "end", "", withoutZeros(c.formatY(v)))
	}
	fmt.Fprintf(b, `<path d="M%d %d V%d H%d" fill="none" stroke="#888"/>`+"\n", plotLeft, plotTop, plotBottom, plotRight)
	text(b, (plotLeft+plotRight)/2, plotBottom+40, "middle", "", c.xLabel)
	fmt.Fprintf(b, `<g transform="translate(18 %d) rotate(-90)">`, (plotTop+plotBottom)/2)
	text(b, 0, 0, "middle", "", c.yLabel)
	b.WriteString("</g>\n")
}

func (c chart) line(b *bytes.Buffer, s series) {
	colour, dash, width := s.style()
	fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="%s" stroke-dasharray="%s" points="`, colour, width, dash)
	for _, p := range s.points {
		fmt.Fprintf(b, "%.1f,%.1f ", c.x(p.x), c.y(p.y))
	}
	b.WriteString(`"/>` + "\n")
	for _, p := range s.points {
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s: %s</title></circle>`+"\n",
			c.x(p.x), c.y(p.y), colour, html.EscapeString(s.name), html.EscapeString(c.formatY(p.y)))
	}
}

func (c chart) legend(b *bytes.Buffer, s series, y int) {
	colour, dash, width := s.style()
	fmt.Fprintf(b, `<path d="M%d %d h26" stroke="%s" stroke-width="%s" stroke-dasharray="%s"/>`+"\n", legendLeft, y, colour, width, dash)
	text(b, legendLeft+34, float64(y+4), "start", "", s.name+s.note)
}

// withoutZeros shortens a tick's label: 10.0 µs to 10 µs.
func withoutZeros(label string) string {
	number, unit, _ := strings.Cut(label, " ")
	if strings.Contains(number, ".") {
		number = strings.TrimRight(strings.TrimRight(number, "0"), ".")
	}
	return number + " " + unit
}

func (s series) style() (colour, dash, width string) {
	st, ok := style[s.name]
	if !ok { // a revision
		return "#bcbd22", "4 2", "2"
	}
	if s.name == ours {
		return st.colour, st.dash, "3"
	}
	return st.colour, st.dash, "1.8"
}

func text(b *bytes.Buffer, x, y float64, anchor, attrs, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" %s>%s</text>`+"\n", x, y, anchor, attrs, html.EscapeString(s))
}

func (c chart) x(v float64) float64 {
	lo, hi := c.xTicks[0].at, c.xTicks[len(c.xTicks)-1].at
	return plotLeft + (v-lo)/(hi-lo)*(plotRight-plotLeft)
}

func (c chart) y(v float64) float64 {
	lo, hi := c.yRange()
	if c.logY {
		lo, hi, v = math.Log(lo), math.Log(hi), math.Log(v)
	}
	return plotBottom - (v-lo)/(hi-lo)*(plotBottom-plotTop)
}

// yRange starts at zero, and on a logarithmic scale at the power of ten below
// the smallest value.
func (c chart) yRange() (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, s := range c.series {
		for _, p := range s.points {
			lo, hi = min(lo, p.y), max(hi, p.y)
		}
	}
	if c.logY {
		return math.Pow(10, math.Floor(math.Log10(lo))), math.Pow(10, math.Ceil(math.Log10(hi)))
	}
	step := c.yStep(hi)
	return 0, math.Ceil(hi/step) * step
}

// yStep is 1, 2 or 5 times a power of ten and gives four to nine steps.
func (c chart) yStep(hi float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(hi/4)))
	for _, m := range []float64{5, 2} {
		if hi/(m*p) >= 4 {
			return m * p
		}
	}
	return p
}

func (c chart) yTicks() []float64 {
	lo, hi := c.yRange()
	var ticks []float64
	if c.logY {
		for v := lo; v <= hi*1.001; v *= 10 {
			ticks = append(ticks, v)
		}
		return ticks
	}
	step := c.yStep(hi)
	for v := lo; v <= hi+step/2; v += step {
		ticks = append(ticks, v)
	}
	return ticks
}
