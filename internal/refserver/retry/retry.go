// Package retry holds the policies by which a request is tried again.
package retry
