package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

func start() time.Time { return time.Date(2026, time.March, 2, 6, 0, 0, 0, time.UTC) }

// orders is a table with a column of each kind: counters, times, words with few values, prices, yes and no, and gaps.
func orders(rows int) ([]byte, error) {
	rng := rand.New(rand.NewPCG(20, 26))
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	if err := w.Write([]string{"order", "placed_at", "country", "product", "quantity", "unit_price", "weight_kg", "express", "rating"}); err != nil {
		return nil, err
	}
	products := []string{"Oat flour", "Rye flour", "Spelt, whole", "Semolina", "Bran", "Corn meal", "Mill stone"}
	countries := []string{"FR", "FR", "FR", "DE", "DE", "NL", "PT", "SE"}
	placed := start()
	for i := range rows {
		placed = placed.Add(time.Duration(rng.ExpFloat64()*47) * time.Minute)
		quantity := 1 + int(rng.ExpFloat64()*3)
		price := math.Exp(1.6 + 0.55*rng.NormFloat64())
		rating := ""
		if rng.Float64() < 0.7 {
			rating = strconv.Itoa(max(1, min(5, int(4.2+rng.NormFloat64()))))
		}
		err := w.Write([]string{
			strconv.Itoa(10_001 + i), placed.Format(time.RFC3339), countries[rng.IntN(len(countries))], products[rng.IntN(len(products))],
			strconv.Itoa(quantity), strconv.FormatFloat(price, 'f', 2, 64), strconv.FormatFloat(float64(quantity)*(0.9+0.2*rng.Float64()), 'f', 3, 64),
			strconv.FormatBool(rng.IntN(6) == 0), rating,
		})
		if err != nil {
			return nil, err
		}
	}
	w.Flush()
	return out.Bytes(), w.Error()
}

// serverLog reads like the log of a small web service: much repetition, some noise, so that compressing it shows something.
func serverLog(lines int) []byte {
	rng := rand.New(rand.NewPCG(7, 77))
	routes := []string{"GET /v1/jobs", "POST /v1/jobs", "GET /v1/files", "POST /v1/files", "GET /livez", "GET /metrics"}
	var out bytes.Buffer
	at := start()
	for range lines {
		at = at.Add(time.Duration(rng.ExpFloat64()*900) * time.Millisecond)
		status, level := 200, "INFO"
		switch n := rng.IntN(40); {
		case n == 0:
			status, level = 503, "WARN"
		case n < 4:
			status = 404
		}
		fmt.Fprintf(&out, "time=%s level=%s msg=request route=%q status=%d took=%dms request=%016x\n",
			at.Format("2006-01-02T15:04:05.000Z"), level, routes[rng.IntN(len(routes))], status, 1+int(rng.ExpFloat64()*12), rng.Uint64())
	}
	return out.Bytes()
}
