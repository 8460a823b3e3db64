package amqp

import (
	"fmt"

	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/spec"
)

// checkIdentity reads the identity expression, and warns if there is none.
func (o *Options) checkIdentity() []spec.FieldError {
	if o.Identity == "" {
		return []spec.FieldError{{
			Field: "identity", Warning: true,
			Message: "without an identity a message that comes twice is stored twice (at least once)",
			Hint:    `identity: "message_id ?? payload.id"`,
		}}
	}
	if _, err := expr.CompileIdentity(o.Identity); err != nil {
		return []spec.FieldError{{Field: "identity", Message: fmt.Sprintf("%q: %v", o.Identity, err)}}
	}
	return nil
}
