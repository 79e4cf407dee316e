package load

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bars returns how many calls are in each of up to n ranges of latency, each as much
// longer as the one before, from the shortest to the longest call.
func Bars(h *hdrhistogram.Histogram, n int) (bars []Bar) {
	low, high := float64(max(h.Min(), 1)), float64(h.Max())
	if h.TotalCount() == 0 {
		return nil
	}
	step := math.Pow(high/low, 1/float64(n))
	if step < 1.05 { // all calls took about the same
		n, step = 1, high/low
	}
	bars = make([]Bar, n)
	for i := range bars {
		bars[i].From = time.Duration(low * math.Pow(step, float64(i)))
		bars[i].To = time.Duration(math.Ceil(low * math.Pow(step, float64(i+1))))
	}
	bars[n-1].To = time.Duration(h.Max())
	i := 0
	for _, b := range h.Distribution() {
		for i < n-1 && time.Duration(b.From) >= bars[i].To {
			i++
		}
		bars[i].Count += int(b.Count)
	}
	return bars
}

// A Bar is the calls whose latency is in a range.
type Bar struct {
	From, To time.Duration
	Count    int
}

// WriteText draws the bars with characters.
func WriteText(w io.Writer, h *hdrhistogram.Histogram) error {
	const width = 50
	bars := Bars(h, 12)
	most := 1
	for _, b := range bars {
		most = max(most, b.Count)
	}
	for _, b := range bars {
		bar := strings.Repeat("#", (b.Count*width+most-1)/most)
		if _, err := fmt.Fprintf(w, "%9v - %9v  %8d  %s\n", Round(b.From), Round(b.To), b.Count, bar); err != nil {
			return err
		}
	}
	return nil
}

// Round returns d with about three digits.
func Round(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}

// WriteSVG draws the latency over the share of calls, as is usual for HdrHistogram: the
// share's axis has 90 %, 99 %, 99.9 % at equal distances.
func WriteSVG(w io.Writer, h *hdrhistogram.Histogram, title string) error {
	const width, height, left, top, right, bottom = 640, 360, 80, 40, 20, 50
	nines := math.Max(2, math.Ceil(math.Log10(float64(h.TotalCount())+1)))
	top99 := float64(h.Max()) * 1.05
	x := func(share float64) float64 { // of 0 to 1
		return left + (width-left-right)*math.Min(1, -math.Log10(math.Max(1-share, math.Pow(10, -nines)))/nines)
	}
	y := func(v float64) float64 { return height - bottom - (height-top-bottom)*v/math.Max(top99, 1) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/><text x="%d" y="24" font-size="14">%s</text>`+"\n", width, height, left, escape(title))
	for i := 0; i <= int(nines); i++ {
		share := 1 - math.Pow(10, -float64(i))
		label := fmt.Sprintf("%.*f %%", max(0, i-2), share*100)
		fmt.Fprintf(&b, `<path d="M%.1f %d V%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(share), top, height-bottom, x(share), height-bottom+18, label)
	}
	for i := 0; i <= 4; i++ {
		v := top99 * float64(i) / 4
		fmt.Fprintf(&b, `<path d="M%d %.1f H%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%v</text>`+"\n", left, y(v), width-right, left-6, y(v)+4, Round(time.Duration(v)))
	}
	b.WriteString(`<path fill="none" stroke="#1f6feb" stroke-width="2" d="`)
	for i, p := range h.CumulativeDistribution() {
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&b, "%s%.1f %.1f ", command, x(p.Quantile/100), y(float64(p.ValueAt)))
	}
	fmt.Fprintf(&b, `"/>`+"\n"+`<text x="%d" y="%d" text-anchor="middle">share of calls</text>`+"\n</svg>\n", (left+width-right)/2, height-10)
	_, err := io.WriteString(w, b.String())
	return err
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
