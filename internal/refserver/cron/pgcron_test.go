package cron

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/edgeload/edgeload/internal/service"
)

// connect connects for the length of the test.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// scribble writes what may be a schedule. How often it strays from the grammar
// differs from text to text, from never to in every third place.
func scribble(r *rand.Rand) string {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	odds := []float64{0, 0.02, 0.1, 0.3}[r.IntN(4)]
	stray := func() bool { return r.Float64() < odds }
	number := func() string {
		if stray() {
			return pick("60", "24", "32", "13", "8", "61", "100", "0", "7", "31", "59", "00", "007", "4294967296", "4294967300", "99999999999999999999",
				"", "jan", "Feb", "DEC", "sun", "Mon", "SAT", "tues", "january", "x", "é", "-1", "+1", "5a", "L", "W", "$", "?")
		}
		return fmt.Sprint(1 + r.IntN(7))
	}
	element := func() string {
		switch r.IntN(10) {
		case 0, 1, 2:
			return "*"
		case 3:
			return "*/" + number()
		case 4:
			return number() + "-" + number()
		case 5:
			return number() + "-" + number() + "/" + number()
		}
		if stray() {
			return number() + "/" + number()
		}
		return number()
	}
	field := func() string {
		s := element()
		for r.IntN(4) == 0 {
			if stray() {
				s += pick(",,", ", ", ";", ".", "#", "-", "*")
			} else {
				s += ","
			}
			s += element()
		}
		if stray() {
			s += pick(";", "#1", "é", "/", "-", ",", "x")
		}
		return s
	}
	if r.IntN(12) == 0 {
		return pick("", " ", "\t", "\n", "#x\n") + pick("@", "@", "@", "@ ", "") +
			pick("hourly", "daily", "midnight", "weekly", "monthly", "yearly", "annually", "reboot", "restart", "Daily", "dailyx", "every", "secondly", "5 seconds") +
			pick("", " ", "\n", " x", "\tx", ",", "x")
	}
	var b strings.Builder
	b.WriteString(pick("", "", " ", "\t", "\n", "\n\n \t", "# note\n"))
	if stray() {
		b.WriteString(pick("#", "\r", "\v", ","))
	}
	fields := 5
	if stray() {
		fields = 3 + r.IntN(4)
	}
	for i := range fields {
		if i > 0 {
			if stray() {
				b.WriteString(pick("\n", "\r", "\u00a0", " \n", ""))
			} else {
				b.WriteString(pick(" ", "\t", "  ", " \t "))
			}
		}
		b.WriteString(field())
	}
	b.WriteString(pick("", "", "", "", " ", "\n", "\nx", " command", "\t#"))
	if r.IntN(100) == 0 {
		b.WriteString(strings.Repeat(" ", 990+r.IntN(20)-min(b.Len(), 900)))
	}
	return b.String()
}

// TestPgCronAccepts asks the real extension about thousands of texts, and Parse.
func TestPgCronAccepts(t *testing.T) {
	pg := service.StartPostgres(t, service.PostgresOptions{Cron: true})
	conn := connect(t, pg.URL)
	if _, err := conn.Exec(t.Context(), `CREATE FUNCTION accepts(s text) RETURNS boolean LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM cron.schedule(s, 'SELECT 1');
			RETURN true;
		EXCEPTION WHEN invalid_parameter_value THEN
			RETURN false;
		END $$`); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(4, 2))
	texts := make([]string, 20_000)
	for i := range texts {
		texts[i] = scribble(r)
	}
	// Nothing is to run meanwhile: what is scheduled is never committed.
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	rows, err := tx.Query(t.Context(), "SELECT accepts(s) FROM unnest($1::text[]) WITH ORDINALITY AS texts(s, i) ORDER BY i", texts)
	if err != nil {
		t.Fatal(err)
	}
	answers, err := pgx.CollectRows(rows, pgx.RowTo[bool])
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for i, yes := range answers {
		s, err := PgCron14.Parse(texts[i])
		if yes != (err == nil) {
			t.Errorf("pg_cron accepts %q: %v. Parse: %s, %v", texts[i], yes, s, err)
		}
		if yes {
			accepted++
		}
	}
	if len(answers) != len(texts) || accepted < len(texts)/5 || accepted > len(texts)*4/5 {
		t.Errorf("%d answers, %d of them yes: the texts prove little", len(answers), accepted)
	}
}
