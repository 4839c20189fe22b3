package driver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/textproto"
	"os"
	"strings"
	"syscall"

	"github.com/edgeload/edgeload/internal/loadgen/frame"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// Classes of failure that every driver shares. They are few and stable, since
// reports are compared by them; what was said exactly is the example's affair.
const (
	classDNS         = "dns"
	classRefused     = "connection refused"
	classReset       = "connection reset"
	classUnreached   = "unreachable"
	classTimeout     = "timeout"
	classTLS         = "tls"
	classClosed      = "closed early"
	classProtocol    = "protocol"
	classStreamReset = "stream reset"    // HTTP/2's RST_STREAM
	classLocalLimit  = result.LocalLimit // this machine is out of descriptors or ports: the generator's own failure
	classUnfinished  = "unfinished"      // cut at the end of the drain
	classOther       = "other"
)

// maxExample bounds the text kept of a failure, in bytes.
const maxExample = 512

// classify returns the class of a failure met while dialling, sending or
// receiving, and the text that is kept as the class's example. A cancelled
// context is classUnfinished: only the end of the drain cancels a driver's work
// from outside.
func classify(err error) (class, example string) {
	return classOf(err), excerpt(err.Error())
}

func classOf(err error) string {
	var (
		dns      *net.DNSError
		netErr   net.Error
		protocol *textproto.Error
		framing  frame.ProtocolError
	)
	switch {
	case errors.Is(err, context.Canceled):
		return classUnfinished
	case errors.As(err, &dns):
		return classDNS
	case errors.Is(err, syscall.ECONNREFUSED):
		return classRefused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return classReset
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return classUnreached
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE),
		errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.ENOBUFS):
		return classLocalLimit
	case isTLS(err):
		return classTLS
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &netErr) && netErr.Timeout():
		return classTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return classClosed
	case errors.As(err, &protocol), errors.As(err, &framing):
		return classProtocol
	}
	return classOfText(err.Error())
}

func isTLS(err error) bool {
	var (
		record    tls.RecordHeaderError
		alert     tls.AlertError
		verify    *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	return errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &verify) ||
		errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid) ||
		strings.Contains(err.Error(), "tls: ")
}

// classOfText tells apart what net/http reports with types of its own that it
// does not export.
func classOfText(text string) string {
	for _, known := range []struct{ text, class string }{
		{"HTTP response to HTTPS client", classTLS},
		{"server closed idle connection", classClosed},
		{"server sent GOAWAY", classClosed},
		{"client connection lost", classClosed},
		{"unexpected EOF", classClosed},
		{"client conn could not be established", classClosed},
		{"stream error: ", classStreamReset},
		{"malformed", classProtocol},
		{"chunk length", classProtocol},
		{"transfer encoding", classProtocol},
		{"trailer", classProtocol},
		{"connection error: ", classProtocol},
		{"http2: ", classProtocol},
		{"net/http: ", classProtocol},
	} {
		if strings.Contains(text, known.text) {
			return known.class
		}
	}
	return classOther
}

// excerpt returns s on one line and no longer than maxExample bytes, cut
// between characters.
func excerpt(s string) string { return oneLine(s, maxExample) }

// oneLine returns s on one line and no longer than so many bytes, cut between
// characters.
func oneLine(s string, most int) string {
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "\uFFFD")
	if len(s) <= most {
		return s
	}
	const mark = "…"
	return strings.ToValidUTF8(s[:most-len(mark)], "") + mark
}
