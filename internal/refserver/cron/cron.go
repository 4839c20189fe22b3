// Package cron schedules jobs as pg_cron does.
//
// A Schedule is what a job's text says: Parse reads the grammar of pg_cron 1.6,
// which is Vixie cron's with a few more forms. A Clock says which minutes are to be
// run when time moves on, leaps or goes back. Whatever schedules (the scheduler of
// this package, or the real extension through PgCron) hands each run to a Caller.
//
// # Grammar
//
// Five fields, separated by blanks or tabs:
//
//	minute        0-59
//	hour          0-23
//	day of month  1-31, or $ alone: the last day of the month
//	month         1-12, or jan-dec
//	day of week   0-7, or sun-sat; 0 and 7 are Sunday
//
// A field is a list of n, a-b, a-b/step, * and */step, separated by commas. Names
// are read in any case and wherever a number of their field may stand, but not as
// a step. A step without a range (5/10) is refused; a step beyond the range's end
// selects its beginning alone; a range whose end is before its beginning (fri-mon,
// 22-2) is accepted and selects nothing.
//
// In place of the fields there may be @hourly, @daily or @midnight, @weekly,
// @monthly, @yearly or @annually, @reboot or @restart, in lower case; or, alone, N
// seconds or N second with N from 1 to 59, in any case.
//
// What pg_cron lets pass passes here: what follows a complete range up to the next
// blank (5#2 is 5, */5;x is */5), all that follows the fifth field, blank lines and
// lines that begin with # before the schedule. A text has at most 999 bytes.
//
// # Days
//
// A schedule that names days of the month and days of the week fires on either.
// Where one of the two fields begins with *, be it *, */2 or *,3, a day must be in
// both.
//
// # Time zones
//
// Each minute of real time is matched as the wall clock of the zone shows it, so a
// schedule at an hour that is left out in spring does not fire that day, and one
// at an hour that comes twice in autumn fires twice.
package cron
