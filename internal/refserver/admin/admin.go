// Package admin is the reference server's own interface.
package admin
