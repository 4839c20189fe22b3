// Package store is the reference server's database.
package store
