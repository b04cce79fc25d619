package sqlite

import (
	"context"
	"fmt"

	"github.com/millrace/millrace"
)

// hasExpired judges again what the search found: a retry may have brought it back.
const hasExpired = ` AND expires_at <= ?`

// ExpireJobs implements store.Upkeep. What is to go is found by the read pool, so that the search holds up no writer, and judged again before
// it goes.
func (l *Ledger) ExpireJobs(ctx context.Context, limit int) (int, error) {
	now := l.now().UnixMilli()
	var jobs []*millrace.Job
	err := each(func(row scanner) error {
		j, err := scanJob(row)
		jobs = append(jobs, j)
		return err
	})(l.reads.QueryContext(ctx, `SELECT `+jobColumns+` FROM jobs INDEXED BY jobs_expire WHERE expires_at <= ?
		AND NOT EXISTS (SELECT 1 FROM json_each(outputs) o JOIN job_files f ON f.file = json_extract(o.value, '$.file'))
		ORDER BY expires_at LIMIT ?`, now, limit))
	if err != nil {
		return 0, fmt.Errorf("find expired jobs: %w", err)
	}
	n, err := l.inSteps(ctx, len(jobs), func(t *tx, i int) (bool, error) {
		var expired bool
		if err := t.row(`SELECT count(*) FROM jobs WHERE id = ?`+hasExpired, jobs[i].ID, now).Scan(&expired); err != nil || !expired {
			return false, err
		}
		for _, out := range jobs[i].Outputs {
			if used, err := t.used(out.File); err != nil || used {
				return false, err
			}
		}
		return true, t.remove(jobs[i])
	})
	if err != nil {
		return n, fmt.Errorf("remove expired jobs: %w", err)
	}
	return n, nil
}

// ExpireFiles implements store.Upkeep.
func (l *Ledger) ExpireFiles(ctx context.Context, limit int) (int, error) {
	now := l.now().UnixMilli()
	var files []millrace.File
	err := each(func(row scanner) error {
		f, err := scanFile(row)
		files = append(files, f)
		return err
	})(l.reads.QueryContext(ctx, `SELECT `+fileColumns+` FROM files INDEXED BY files_expire WHERE expires_at <= ?
		AND NOT EXISTS (SELECT 1 FROM job_files WHERE file = id) ORDER BY expires_at LIMIT ?`, now, limit))
	if err != nil {
		return 0, fmt.Errorf("find expired files: %w", err)
	}
	n, err := l.inSteps(ctx, len(files), func(t *tx, i int) (bool, error) {
		var expired bool
		if err := t.row(`SELECT count(*) FROM files WHERE id = ?`+hasExpired, files[i].ID, now).Scan(&expired); err != nil || !expired {
			return false, err
		}
		if used, err := t.used(files[i].ID); err != nil || used {
			return false, err
		}
		return true, t.deleteFile(files[i])
	})
	if err != nil {
		return n, fmt.Errorf("remove expired files: %w", err)
	}
	return n, nil
}

// removal is how many rows one transaction of the upkeep takes, so that it holds up nobody for long.
const removal = 100

// inSteps calls fn for 0 … n-1, some in each transaction, and says for how many it did something.
func (l *Ledger) inSteps(ctx context.Context, n int, fn func(t *tx, i int) (bool, error)) (int, error) {
	total := 0
	for from := 0; from < n; from += removal {
		did := 0
		err := l.write(ctx, func(t *tx) error {
			for i := from; i < min(n, from+removal); i++ {
				ok, err := fn(t, i)
				if err != nil {
					return err
				}
				did += int(number(ok))
			}
			return nil
		})
		if err != nil {
			return total, err
		}
		total += did
	}
	return total, nil
}
