package relay

// ledger is what one process has heard of the others, and of itself, in a room. It
// says of each number once whether it was delivered or missed. It is not safe for
// concurrent use.
type ledger struct {
	late     bool // the members may have been there before anything could be heard
	accounts map[origin]*account
	tick     uint64
}

// account is how far one origin's numbers are accounted for.
type account struct {
	next uint64 // the first number that is not
	used uint64 // tick of the last use
}

// mostAccounts bounds the origins that are remembered in a room; of more, the one
// that was silent for longest is forgotten, and is met like a new one.
const mostAccounts = 256

// hear accounts for an envelope. It reports whether it is a message to be delivered,
// and how many messages are known to be missed because of it.
//
// An origin's account opens with the first thing heard of it. What it said before
// is not missed, for the room had no members here then; but where the ledger is late
// they may have been there: then what the origin has lost not long ago is missed.
func (l *ledger) hear(e *envelope) (deliver bool, missed uint64) {
	l.tick++
	a := l.accounts[e.origin]
	if a == nil {
		a = l.open(e.origin)
		switch {
		case l.late:
			a.next = e.heard + 1
		case e.kind == kindAnnouncement:
			a.next = e.number + 1
		default:
			a.next = e.number
		}
	}
	a.used = l.tick
	if e.kind == kindAnnouncement {
		if e.number >= a.next {
			missed = e.number + 1 - a.next
			a.next = e.number + 1
		}
		return false, missed
	}
	if e.number < a.next {
		return false, 0 // late: it is counted as missed
	}
	missed = e.number - a.next
	a.next = e.number + 1
	return true, missed
}

// open makes an account.
func (l *ledger) open(o origin) *account {
	if l.accounts == nil {
		l.accounts = make(map[origin]*account)
	}
	if len(l.accounts) >= mostAccounts {
		var silent origin
		oldest := l.tick
		for other, a := range l.accounts {
			if a.used < oldest {
				silent, oldest = other, a.used
			}
		}
		delete(l.accounts, silent)
	}
	a := &account{next: 1, used: l.tick}
	l.accounts[o] = a
	return a
}
