package supervise

// runOnDemand starts the process whenever it is wanted, until it is told to stop.
func (in *instance) runOnDemand() error {
	for {
		select {
		case <-in.group.wanted:
		case gone := <-in.replace: // there is nothing to replace
			close(gone)
			continue
		case <-in.group.stop:
			return nil
		case <-in.sup.cfg.Kill:
			return nil
		}
		end := in.live()
		if end.stopped {
			return nil
		}
		// Whoever wanted it while it ran was answered by it, or asks again.
		select {
		case <-in.group.wanted:
		default:
		}
		if end.rolled || end.code == 0 {
			in.delay.reset()
		} else if !in.pause(end) {
			return nil
		}
	}
}
