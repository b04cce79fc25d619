package scheduler

import (
	"context"
	"time"
)

// afterResume is longer than a claim waits for its answer: what was refused before a queue was resumed has been dropped by then.
const afterResume = 8 * time.Second

// doubt makes everything unfinished owed again. What is in the queue already refuses the second copy.
func (l *Leader) doubt(ctx context.Context) error {
	gen, err := l.Ledger.Generation(ctx)
	if err != nil {
		return err
	}
	l.noteGeneration(gen)
	if err := l.Ledger.NewGeneration(ctx, gen); err != nil {
		return err
	}
	l.generation = gen + 1
	return nil
}

// followResumes doubts the queue once more a while after somebody has resumed a queue, which raises the generation. A claim that was refused just before,
// because of the pause, may not have been dropped yet when the job is owed again: the queue refuses the second copy, and the first is gone soon after.
func (l *Leader) followResumes(ctx context.Context) error {
	gen, err := l.Ledger.Generation(ctx)
	if err != nil {
		return err
	}
	l.noteGeneration(gen)
	if l.resumed.IsZero() || time.Since(l.resumed) < afterResume {
		return nil
	}
	if err := l.doubt(ctx); err != nil {
		return err
	}
	l.resumed = time.Time{}
	return nil
}

// noteGeneration notices that somebody else has raised the generation.
func (l *Leader) noteGeneration(gen int64) {
	if l.generation != 0 && gen != l.generation {
		l.resumed = time.Now()
	}
	l.generation = gen
}
