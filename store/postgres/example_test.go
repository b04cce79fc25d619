package postgres_test

import (
	"context"
	"fmt"
	"os"

	"github.com/millrace/millrace/store/postgres"
)

func ExampleOpen() {
	ledger, err := postgres.Open(context.Background(), postgres.Config{DSN: os.Getenv("DATABASE_URL"), MaxConns: 16})
	if err != nil {
		fmt.Println(err) // one line that says what is wrong and how to mend it
		return
	}
	defer ledger.Close()
}
