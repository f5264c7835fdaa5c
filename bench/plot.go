package main

import (
	"image/color"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	_ "gonum.org/v1/plot/vg/vgsvg" // for Save to SVG files
)

// colours are those of Okabe and Ito, which colour-blind readers can tell apart.
var colours = []color.Color{
	color.RGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff},
	color.RGBA{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff},
	color.RGBA{R: 0x00, G: 0x9e, B: 0x73, A: 0xff},
	color.RGBA{R: 0xcc, G: 0x79, B: 0xa7, A: 0xff},
	color.RGBA{R: 0x56, G: 0xb4, B: 0xe9, A: 0xff},
}

// column is the width of a column of the plot. The dots of its contestants are beside each other
// within half of it.
const column = 1.0

// plot draws a table into a file in the directory. Each figure is a dot at its median and a line
// from its least to its greatest sample. The axis is logarithmic, so that 2 and 1/2 are equally far
// from 1.
func (t table) plot(directory string) error {
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = t.title, t.ratio
	p.Title.TextStyle.Font.Size = vg.Points(11)
	for _, style := range []*text.Style{
		&p.Y.Label.TextStyle,
		&p.Y.Tick.Label,
		&p.X.Tick.Label,
		&p.Legend.TextStyle,
	} {
		style.Font.Size = vg.Points(9)
	}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.TickerFunc(ticks)
	p.Legend.Top, p.Legend.Padding = true, vg.Points(2)
	p.Add(plotter.NewGrid())

	var of, who []string
	for _, f := range t.figures {
		of, who = appendNew(of, f.of), appendNew(who, f.who)
	}
	for i, name := range who {
		dots := &spread{}
		for _, f := range t.figures {
			if f.who == name {
				offset := (float64(i)+0.5)/float64(len(who)) - 0.5
				dots.add(column*(float64(slices.Index(of, f.of))+offset/2), f.samples)
			}
		}
		if err := dots.draw(p, name, colours[i%len(colours)]); err != nil {
			return err
		}
	}
	one := plotter.NewFunction(func(float64) float64 { return 1 })
	one.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
	p.Add(one)
	p.NominalX(of...)
	p.X.Min, p.X.Max = -column/2, column*(float64(len(of))-0.5)
	p.Y.Min, p.Y.Max = min(p.Y.Min/1.5, 0.5), max(p.Y.Max*1.5, 2)
	return p.Save(7*vg.Inch, 3.5*vg.Inch, filepath.Join(directory, t.name+".svg"))
}

// ticks returns the ticks of a logarithmic axis. Ticks at 1, 2 and 5 have labels if there is room.
func ticks(least, most float64) (all []plot.Tick) {
	for decade := math.Pow(10, math.Floor(math.Log10(least))); decade <= most; decade *= 10 {
		for digit := 1.0; digit < 10; digit++ {
			tick := plot.Tick{Value: digit * decade}
			if digit == 1 || most < 100*least && (digit == 2 || digit == 5) {
				tick.Label = strconv.FormatFloat(tick.Value, 'g', 6, 64)
			}
			if least <= tick.Value && tick.Value <= most {
				all = append(all, tick)
			}
		}
	}
	return all
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// spread has the figures of one contestant.
type spread struct {
	plotter.XYs
	plotter.YErrors // below and above the median
}

// add adds a figure, as far as a logarithmic axis can show it. Samples may be negative: memory is a
// difference of two measurements.
func (s *spread) add(x float64, samples []float64) {
	middle := median(samples)
	if middle <= 0 {
		return
	}
	least := slices.Min(samples)
	if least <= 0 {
		least = middle / 10
	}
	s.XYs = append(s.XYs, plotter.XY{X: x, Y: middle})
	most := slices.Max(samples)
	s.YErrors = append(s.YErrors, struct{ Low, High float64 }{middle - least, most - middle})
}

func (s *spread) draw(p *plot.Plot, name string, c color.Color) error {
	if len(s.XYs) == 0 {
		return nil
	}
	dots, err := plotter.NewScatter(s.XYs)
	if err != nil {
		return err
	}
	dots.Color, dots.Shape, dots.Radius = c, draw.CircleGlyph{}, vg.Points(3)
	whiskers, err := plotter.NewYErrorBars(s)
	if err != nil {
		return err
	}
	whiskers.Color = c
	p.Add(whiskers, dots)
	p.Legend.Add(name, dots)
	return nil
}
