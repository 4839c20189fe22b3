// Package cron is pg_cron's way of scheduling.
package cron
