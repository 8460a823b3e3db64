package amqp

import "github.com/millrace/millrace/engine/spec"

// checkIdentity warns of a source without an identity.
func (o *Options) checkIdentity() []spec.FieldError {
	if o.Identity != "" {
		return nil
	}
	return []spec.FieldError{{
		Field: "identity", Warning: true,
		Message: "without an identity a message that comes twice is stored twice (at least once)",
		Hint:    `identity: "message_id ?? payload.id"`,
	}}
}
