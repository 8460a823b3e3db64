package pluginhost

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

func (inst *instance) beginWatch() {
	ctx, leave := context.WithCancel(context.Background())
	inst.leave = leave
	go inst.watch(ctx)
}

// watch gives the instance up when its process ends. Whenever no unit has been
// answered for HealthEvery it asks the plugin whether it still lives, until ctx ends.
func (inst *instance) watch(ctx context.Context) {
	tick := time.NewTicker(inst.cfg.HealthEvery)
	defer tick.Stop()
	for seen := uint64(0); ; {
		select {
		case <-inst.proc.done:
			inst.giveUp(fmt.Errorf("the process ended: %s", inst.proc.fate()))
			return
		case <-tick.C:
		}
		if units := inst.units.Load(); units != seen {
			seen = units
		} else if ctx.Err() == nil {
			inst.examine(ctx)
		}
	}
}

// examine gives the instance up if it does not answer within CallDeadline. What it
// answers does not matter.
func (inst *instance) examine(ctx context.Context) {
	asked, cancel := context.WithTimeout(ctx, inst.cfg.CallDeadline)
	defer cancel()
	_, err := inst.rpc.Health(asked, &pluginv1.HealthRequest{})
	switch code := status.Code(err); {
	case ctx.Err() != nil:
	case code == codes.DeadlineExceeded:
		inst.giveUp(fmt.Errorf("no answer to the question for its health within %s", inst.cfg.CallDeadline))
	case code == codes.Unavailable:
		inst.autopsy(fmt.Errorf("its connection broke: %w", err))
	}
}
