package pluginhost

import "github.com/millrace/millrace/engine/node"

// SwapWithoutDrain is what no host may do: it ends the version at work at once and
// gives every lane the new one, whatever units are in hand.
func (h *Host) SwapWithoutDrain(t *Transform, version string) error {
	e, err := h.registry.Pin("versioned", version)
	if err != nil {
		return err
	}
	prog, err := h.registry.Open(e)
	if err != nil {
		return err
	}
	w, err := startWorker(h.stopped, h.cfg, t.node, prog)
	if err != nil {
		return err
	}
	if inst, _ := t.worker().running(); inst != nil {
		inst.kill()
	}
	t.handOver(w)
	t.release()
	return nil
}

// Worse is worse.
var Worse = worse

// OverGRPC returns c without lane sockets, as for a plugin that does not know them.
func (c Config) OverGRPC() Config {
	c.overGRPC = true
	return c
}

// ChunksAhead returns how many chunks of in are sent before the first answer.
func ChunksAhead(in *node.Batch) (int, error) {
	var sent counter
	x := exchange{lane: &lane{stream: &sent}, in: in}
	err := x.send()
	return int(sent), err
}

// counter is a stream that counts what is sent.
type counter int

func (c *counter) SendMsg(any) error { *c++; return nil }
func (c *counter) RecvMsg(any) error { return nil }
