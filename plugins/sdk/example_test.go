package sdk_test

import "github.com/millrace/millrace/plugins/sdk"

// A whole plugin: main.go of plugins/times.
func Example() {
	type Config struct{ Factor float64 }
	main := func() {
		sdk.Serve(sdk.Map("times", "1.0.0", func(c *Config) (sdk.Func, error) {
			return func(e *sdk.Event) error {
				v, ok := e.Float("value")
				if !ok {
					return sdk.Reject("bad_number", "field value is missing or no number")
				}
				return e.SetFloat("value", v*c.Factor)
			}, nil
		}))
	}
	_ = main // the engine starts it
}
