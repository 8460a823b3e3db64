package feed

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m, goleak.IgnoreTopFunction(proxyPipe)) }

// proxyPipe is where the test proxy's own goroutine stays when a connection is cut
// with data in it.
const proxyPipe = "github.com/Shopify/toxiproxy/v2/toxics.(*NoopToxic).Pipe"
