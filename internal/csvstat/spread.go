package csvstat

import (
	"math"
	"slices"

	"github.com/DataDog/sketches-go/ddsketch"
)

// quantileError is the relative error of the quantiles of a large column.
const quantileError = 0.01

// sketchBins bounds a sketch: 17 powers of ten either side of zero at quantileError. Beyond that the values nearest to zero lose their error.
const sketchBins = 2048

// histogramBins of a column; a wide table has fewer, so that the answer stays small.
func histogramBins(columns int) int {
	if columns > wide {
		return 10
	}
	return 20
}

// spread is the distribution of a column: all its values while they are few, then a sketch.
type spread struct {
	bins   int
	limit  int
	few    []float64
	sketch *ddsketch.DDSketch
}

// newSpread shares the memory for exact values among the columns.
func newSpread(columns int) spread {
	return spread{bins: histogramBins(columns), limit: min(max((1<<19)/columns, 512), 1<<14)}
}

func (s *spread) add(v float64) {
	if s.sketch == nil {
		if len(s.few) < s.limit {
			s.few = append(s.few, v)
			return
		}
		s.sketch, _ = ddsketch.LogCollapsingLowestDenseDDSketch(quantileError, sketchBins) // fails for an error outside (0, 1) only
		for _, v := range s.few {
			s.insert(v)
		}
		s.few = nil
	}
	s.insert(v)
}

// insert clamps to the range of the sketch, whose ends are those of a float64, nearly.
func (s *spread) insert(v float64) {
	limit := s.sketch.MaxIndexableValue()
	_ = s.sketch.Add(min(max(v, -limit), limit)) // cannot fail within the limit
}

func (s *spread) summarize(c *Column, n int64, low, high float64) {
	c.QuantileError = new(float64)
	if s.sketch != nil {
		*c.QuantileError = quantileError
	}
	slices.Sort(s.few)
	c.Quantiles = make(map[string]float64, 7)
	for key, q := range map[string]float64{"0.01": 0.01, "0.05": 0.05, "0.25": 0.25, "0.5": 0.5, "0.75": 0.75, "0.95": 0.95, "0.99": 0.99} {
		c.Quantiles[key] = s.quantile(q, n, low, high)
	}
	c.Histogram = s.histogram(low, high, c.Type == Integer)
}

// quantile interpolates between the two nearest ranks (type 7 of Hyndman and Fan), as spreadsheets and NumPy do.
func (s *spread) quantile(q float64, n int64, low, high float64) float64 {
	position := q * float64(n-1)
	lower := math.Floor(position)
	a := s.rank(lower, n)
	b := s.rank(min(lower+1, float64(n-1)), n)
	between := position - lower
	return min(max(a*(1-between)+b*between, low), high)
}

// rank is the value at a place in the sorted column, from 0.
func (s *spread) rank(k float64, n int64) float64 {
	if s.sketch == nil {
		return s.few[int(k)]
	}
	// Half a rank more keeps the sketch, which multiplies by n−1 again, from rounding down to the neighbour.
	v, err := s.sketch.GetValueAtQuantile(min((k+0.5)/float64(n-1), 1))
	if err != nil {
		return 0
	}
	return v
}

// histogram counts in bins of equal width; integers of a small range get one bin each.
func (s *spread) histogram(low, high float64, integers bool) []Bin {
	width := (high - low) / float64(s.bins)
	bins := make([]Bin, s.bins)
	switch {
	case math.IsInf(width, 0):
		return nil
	case high == low:
		bins, width = bins[:1], 1
	case integers && high-low < float64(s.bins):
		bins, width = bins[:int(high-low)+1], 1
	}
	for i := range bins {
		bins[i].From = low + float64(i)*width
		bins[i].To = low + float64(i+1)*width
	}
	bins[len(bins)-1].To = high
	s.each(func(v float64, count int64) {
		i := int((min(max(v, low), high) - low) / width)
		bins[min(max(i, 0), len(bins)-1)].Count += count
	})
	return bins
}

// each visits every value, or what the sketch makes of it.
func (s *spread) each(visit func(v float64, count int64)) {
	if s.sketch == nil {
		for _, v := range s.few {
			visit(v, 1)
		}
		return
	}
	s.sketch.ForEach(func(v, count float64) (stop bool) {
		visit(v, int64(math.Round(count)))
		return false
	})
}
