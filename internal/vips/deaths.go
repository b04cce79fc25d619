package vips

import "time"

// allowed says whether an input may go to a helper.
func (e *Engine) allowed(input string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed || time.Now().Before(e.off):
		return ErrOff
	case e.condemned[input]:
		return ErrCondemned
	}
	return nil
}

// died notes the death of a helper, or that none could be started: its input goes to no helper again, and a series of deaths turns the engine off.
func (e *Engine) died(h *helper, input string, why error) {
	stderr := ""
	if h != nil {
		stderr = h.end()
	}
	e.mu.Lock()
	if input != "" {
		if len(e.condemned) >= maxCondemned {
			clear(e.condemned)
		}
		e.condemned[input] = true
	}
	now := time.Now()
	e.deaths = append(e.deaths, now)
	if n := len(e.deaths); n > maxDeaths {
		e.deaths = e.deaths[n-maxDeaths:]
	}
	off := len(e.deaths) == maxDeaths && now.Sub(e.deaths[0]) < time.Minute
	var resting []*helper
	if off {
		e.off, e.deaths = now.Add(e.Rest), nil
		resting, e.idle = e.idle, nil
	}
	e.mu.Unlock()
	e.Log.Warn("an image helper died; the picture is done without it", "error", why, "input", input, "stderr", stderr)
	if off {
		e.Log.Error("image helpers die again and again; pictures are done without them for a while", "deaths", maxDeaths, "until", now.Add(e.Rest))
	}
	for _, h := range resting {
		h.end()
	}
}
