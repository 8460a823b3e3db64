package spec

import "time"

// Words that `durability:` takes.
const (
	Strict     = "strict"      // what is acknowledged survives a power cut
	BestEffort = "best_effort" // accepts less, and says so
)

// Words that `start:` takes.
const (
	Earliest = "earliest" // at the oldest event that is kept; what a sink does that says nothing
	Now      = "now"      // with what comes from then on
)

// Defaults of a pipeline file.
const (
	DefaultLanes          = 4
	DefaultRetention      = 24 * time.Hour
	DefaultRetentionBytes = Bytes(4 << 30)
	DefaultDeadRetention  = 30 * 24 * time.Hour
	DefaultDeadAlarm      = Bytes(64 << 20)
	DefaultIdentityWindow = time.Hour
	DefaultMessageLimit   = Bytes(16 << 20)
	DefaultHeadersLimit   = Bytes(64 << 10)
	DefaultNameLimit      = Bytes(4 << 10) // of identities and keys
	DefaultParkedMax      = 10_000
	DefaultUnitEvents     = 4096
	DefaultUnitBytes      = Bytes(8 << 20)
	DefaultPluginTrial    = 30 * time.Second
	DefaultPluginDir      = "plugins/bin"
)

// DefaultRetry is the retry policy of a node that names none.
var DefaultRetry = Retry{Max: 5, Backoff: Backoff{Initial: 100 * time.Millisecond, Max: 10 * time.Second, Multiplier: 2, Jitter: 0.2}}

func fallback[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// defaults fills in what the file leaves out.
func (p *Pipeline) defaults() {
	fallback(&p.Lanes, DefaultLanes)
	fallback(&p.Log.Retention, DefaultRetention)
	fallback(&p.Log.RetentionBytes, DefaultRetentionBytes)
	fallback(&p.Log.DeadRetention, DefaultDeadRetention)
	fallback(&p.Log.DeadAlarm, DefaultDeadAlarm)
	fallback(&p.Log.IdentityWindow, DefaultIdentityWindow)
	fallback(&p.Log.Compression, "none")
	fallback(&p.Limits.Message, DefaultMessageLimit)
	fallback(&p.Limits.Headers, DefaultHeadersLimit)
	fallback(&p.Limits.Identity, DefaultNameLimit)
	fallback(&p.Limits.Key, DefaultNameLimit)
	for i := range p.Nodes {
		fallback(&p.Nodes[i].ParkedMax, DefaultParkedMax)
	}
	fallback(&p.Unit.MaxEvents, DefaultUnitEvents)
	fallback(&p.Unit.MaxBytes, DefaultUnitBytes)
	fallback(&p.Plugins.Dir, DefaultPluginDir)
	fallback(&p.Plugins.Trial, DefaultPluginTrial)
	if p.Durability == "" {
		p.Durability = Strict
		if p.LogAddress() == Embedded {
			p.Durability = BestEffort
		}
	}
}
