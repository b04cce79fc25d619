package batch_test

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/internal/batch"
)

func ExampleGroup() {
	g := batch.New(batch.Config{Workers: 1}, func(_ context.Context, words []string) []int {
		lengths := make([]int, len(words)) // here stands one commit for all words
		for i, w := range words {
			lengths[i] = len(w)
		}
		return lengths
	})
	go g.Run(context.Background())
	defer g.Close()
	n, err := g.Do(context.Background(), "millrace")
	fmt.Println(n, err)
	// Output: 8 <nil>
}
