package main

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/plugins/sdk"
	"github.com/millrace/millrace/plugins/sdk/plugintest"
)

func TestExamples(t *testing.T) { plugintest.Run(t, zscore, "examples/examples.yaml") }

func TestConfigurationErrors(t *testing.T) {
	for config, want := range map[string]string{
		`{"window":1}`:                    "window: 1 is outside 2..10000",
		`{"window":20000,"threshold":-1}`: "threshold: -1 is not above 0",
		`{"window":50,"half_life":10}`:    "half_life: window is given, too",
		`{"half_life":0.1}`:               "half_life: 0.1 is below 0.5",
		`{"window":10,"warm_up":11}`:      "warm_up: 11 is below 2, or above window",
		`{"half_life":10,"warm_up":1}`:    "warm_up: 1 is below 2",
		`{"min_deviation":-1}`:            "min_deviation: -1 is negative",
		`{"learn":"some"}`:                `learn: "some" is none of`,
		`{"score_field":"value"}`:         "score_field: field, score_field and anomaly_field must differ",
		`{"windows":3}`:                   "windows: unknown field",
	} {
		if _, err := zscore.Open([]byte(config), sdk.Node{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", config, err, want)
		}
	}
}

// twoPasses is the textbook's mean and sum of squares, with the larger part of every
// number taken off first.
func twoPasses(values []float64) (mean, squares float64) {
	offset := values[0]
	for _, v := range values {
		mean += (v - offset) / float64(len(values))
	}
	for _, v := range values {
		squares += (v - offset - mean) * (v - offset - mean)
	}
	return mean + offset, squares
}

// TestAWindowKeepsItsDigits slides windows over readings that are large and close
// together, where sums of squares have no digits left, for many times their length.
func TestAWindowKeepsItsDigits(t *testing.T) {
	for _, offset := range []float64{0, 1e6, 1e9, -1e12} {
		for _, size := range []int{2, 7, 100} {
			rnd := rand.New(rand.NewPCG(1, uint64(size)))
			var m moments
			var all []float64
			for range 300 * size {
				v := offset + rnd.NormFloat64()
				all = append(all, v)
				m.slide(v, size)
			}
			mean, squares := twoPasses(all[len(all)-size:])
			if !near(m.mean, mean, 1e-12) || !near(m.spread, squares, 1e-3) {
				t.Errorf("offset %g, window %d: mean %v and squares %v, want %v and %v", offset, size, m.mean, m.spread, mean, squares)
			}
		}
	}
}

// TestSumsOfSquaresLoseThem is the control: the short formula has no digits there.
func TestSumsOfSquaresLoseThem(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var sum, squares float64
	var all []float64
	for range 100 {
		v := 1e9 + rnd.NormFloat64()
		all = append(all, v)
		sum, squares = sum+v, squares+v*v
	}
	_, want := twoPasses(all)
	if got := squares - sum*sum/100; near(got, want, 1e-3) {
		t.Errorf("the short formula gives %v, want something far from %v", got, want)
	}
}

func near(got, want, relative float64) bool {
	return math.Abs(got-want) <= relative*math.Max(math.Abs(want), 1e-9)
}

func TestWeightsAreThoseOfTheHalfLife(t *testing.T) {
	const halfLife, n = 5.0, 200
	alpha := 1 - math.Exp2(-1/halfLife)
	rnd := rand.New(rand.NewPCG(5, 6))
	var m moments
	values, weights := []float64{}, []float64{}
	for i := range n {
		v := 1e8 + rnd.NormFloat64()
		w := max(alpha, 1/float64(i+1))
		for j := range weights {
			weights[j] *= 1 - w
		}
		values, weights = append(values, v), append(weights, w)
		m.weigh(v, alpha)
	}
	var mean, variance, sum float64
	for i, v := range values {
		mean += weights[i] * (v - 1e8)
		sum += weights[i]
	}
	for i, v := range values {
		variance += weights[i] * (v - 1e8 - mean) * (v - 1e8 - mean)
	}
	if !near(sum, 1, 1e-12) || !near(m.mean, mean+1e8, 1e-12) || !near(m.deviation(), math.Sqrt(variance), 1e-6) {
		t.Errorf("mean %v, deviation %v; want %v, %v; weights sum up to %v", m.mean, m.deviation(), mean+1e8, math.Sqrt(variance), sum)
	}
	if ratio := weights[n-1-5] / weights[n-1]; !near(ratio, 0.5, 1e-9) {
		t.Errorf("after %g readings one weighs %v, want half", halfLife, ratio)
	}
}

func TestOptionsMayChange(t *testing.T) {
	var m moments
	for i := range 10 {
		m.slide(float64(i), 10)
	}
	m.slide(100, 3) // 8, 9, 100
	if mean, squares := twoPasses([]float64{8, 9, 100}); !reflect.DeepEqual(m.values, []float64{8, 9, 100}) || !near(m.mean, mean, 1e-12) || !near(m.spread, squares, 1e-12) {
		t.Errorf("a smaller window: %+v", m)
	}
	m.slide(3, 5)
	if mean, squares := twoPasses([]float64{8, 9, 100, 3}); m.n != 4 || !near(m.mean, mean, 1e-12) || !near(m.spread, squares, 1e-12) {
		t.Errorf("a larger window: %+v", m)
	}
	before := m.mean
	m.weigh(before, 0.1)
	if len(m.values) != 0 || m.n != 5 || !near(m.mean, before, 1e-12) {
		t.Errorf("weights after a window: %+v", m)
	}
	m.slide(7, 5)
	if m.n != 1 || m.mean != 7 || m.spread != 0 {
		t.Errorf("a window after weights: %+v", m)
	}
}

// TestAnomaliesAreFound puts outliers into noise: each is found, and of the noise not
// more than chance makes.
func TestAnomaliesAreFound(t *testing.T) {
	for _, with := range []map[string]any{{"window": 200, "threshold": 5}, {"half_life": 100, "threshold": 5, "learn": "normal"}} {
		n := plugintest.Open(t, zscore, with)
		rnd := rand.New(rand.NewPCG(9, 9))
		found, wrong := 0, 0
		for i := range 3000 {
			v, outlier := 50+rnd.NormFloat64(), i > 500 && i%250 == 0
			if outlier {
				v += 12
			}
			out := n.Send(n.Event("k", time.Time{}, "value", v))[0].Outputs[0]
			switch flag, _ := out.Record.Get("anomaly"); {
			case flag.AsBool() && outlier:
				found++
			case flag.AsBool() != outlier:
				wrong++
			}
		}
		if found != 9 || wrong > 3 {
			t.Errorf("%v: %d of 9 found, %d wrong", with, found, wrong)
		}
	}
}

func FuzzMoments(f *testing.F) {
	var m moments
	for i := range 5 {
		m.slide(float64(i), 3)
	}
	b, _ := m.MarshalBinary() // it has no errors
	for _, seed := range [][]byte{nil, b, b[:len(b)-1], {0xff}, make([]byte, 18)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again moments
		if m.UnmarshalBinary(b) != nil || m.n == 0 {
			return
		}
		stored, err := m.MarshalBinary()
		if err == nil {
			err = again.UnmarshalBinary(stored)
		}
		second, _ := again.MarshalBinary()
		if err != nil || string(stored) != string(second) {
			t.Fatalf("%x became %x and %x, %v", b, stored, second, err)
		}
	})
}
