package service

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestRedisComesBackOnItsPort(t *testing.T) {
	r := StartRedis(t)
	url := r.URL
	r.Kill(t)
	r.Start(t)
	if r.URL != url {
		t.Errorf("it was at %s, and is at %s", url, r.URL)
	}
}

func TestPostgresWithCron(t *testing.T) {
	pg := StartPostgres(t, PostgresOptions{Cron: true, Settings: []string{"timezone=UTC"}})
	conn, err := pgx.Connect(t.Context(), pg.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var id int64
	if err := conn.QueryRow(t.Context(), "SELECT cron.schedule('nightly', '0 3 * * *', 'SELECT 1')").Scan(&id); err != nil || id != 1 {
		t.Errorf("job %d, %v", id, err)
	}
}
