package cron

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A backlog is a queue, whatever order of instants and schedules it is given.
func TestBacklogIsAQueue(t *testing.T) {
	var schedules []Schedule
	for _, text := range []string{"* * * * *", "*/2 * * * *", "0-59 0-23 * * *", "10 seconds"} {
		s, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		schedules = append(schedules, s)
	}
	rapid.Check(t, func(t *rapid.T) {
		var b backlog
		var model []time.Time
		at := epoch
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			schedule := rapid.SampledFrom(schedules).Draw(t, "schedule")
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0: // the clock leaps
				at = epoch.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "to")) * time.Minute)
				fallthrough
			case 1, 2, 3:
				at = schedule.Next(at)
				b.push(schedule, at)
				model = append(model, at)
			case 4:
				if len(model) > 0 {
					if oldest, got := b.oldest(), b.pop(); !got.Equal(model[0]) || !oldest.Equal(got) {
						t.Fatalf("%s, want %s", got, model[0])
					}
					model = model[1:]
				}
			}
		}
		if b.count != len(model) {
			t.Fatalf("%d are due, want %d", b.count, len(model))
		}
		for _, at := range model {
			if got := b.pop(); !got.Equal(at) {
				t.Fatalf("%s, want %s", got, at)
			}
		}
	})
}

// A year of runs that are due takes no more room than two.
func TestBacklogIsSmall(t *testing.T) {
	schedule, err := Parse("* * * * *")
	if err != nil {
		t.Fatal(err)
	}
	var b backlog
	for at, n := epoch, 0; n < 525_600; n++ {
		b.push(schedule, at)
		at = at.Add(time.Minute)
	}
	if len(b.stretches) != 1 || b.count != 525_600 {
		t.Errorf("%d runs are due in %d stretches", b.count, len(b.stretches))
	}
}
