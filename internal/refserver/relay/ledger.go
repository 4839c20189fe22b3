package relay

// ledger is what one process has heard of the others, and of itself, in a room. It
// says of each number once whether it was delivered or missed. It is not safe for
// concurrent use.
type ledger struct {
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
// An origin's account opens with the first thing heard of it. What it published
// before is not missed, for the room had no members here or they were told of it;
// but for what it announces that the broker has not taken: nobody has heard that.
func (l *ledger) hear(e *envelope) (deliver bool, missed uint64) {
	l.tick++
	a := l.accounts[e.origin]
	if a == nil {
		a = l.open(e.origin)
		a.next = e.number
		if e.kind == kindAnnouncement {
			a.next = e.heard + 1
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
	a := new(account)
	l.accounts[o] = a
	return a
}
