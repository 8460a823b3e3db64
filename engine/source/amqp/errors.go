package amqp

import (
	"errors"
	"slices"
	"strings"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// joined returns one error for a round, each text once.
func joined(errs []error) error {
	seen := map[string]bool{}
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool {
		text := err.Error()
		defer func() { seen[text] = true }()
		return seen[text]
	})...)
}

// hopeless reports whether every broker of a round refused for a reason that
// waiting cannot mend. A refused login counts only before the first success:
// later it may be a broker that is still importing its users.
func (s *Source) hopeless(err error) bool {
	all, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return false
	}
	for _, err := range all.Unwrap() {
		if !mistaken(err) && (s.live || !refused(err)) {
			return false
		}
	}
	return true
}

// mistaken: the queue differs from what the options declare, or the broker does
// not know what it was asked for.
func mistaken(err error) bool {
	e, ok := errors.AsType[*amqp091.Error](err)
	return ok && (e.Code == amqp091.PreconditionFailed || e.Code == amqp091.NotImplemented)
}

// refused: wrong user, password or virtual host, or no right to read the queue. An
// exclusive consumer elsewhere is refused with the same code but goes away.
func refused(err error) bool {
	e, ok := errors.AsType[*amqp091.Error](err)
	if !ok || (e.Code != amqp091.AccessRefused && e.Code != amqp091.NotAllowed) {
		return false
	}
	return !strings.Contains(e.Reason, "exclusive")
}
