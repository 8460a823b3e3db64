package pluginhost

import (
	"context"
	"fmt"
	"time"
)

// limits is what a plugin process may take from the machine.
type limits struct {
	memory    int64 // bytes of private writable memory, of each process
	files     int   // open at once, of each process
	fileSize  int64 // bytes
	processes int   // in the plugin's process group, itself included
	nice      int   // added to the host's own
}

func (c Config) limits() limits {
	return limits{memory: c.MemoryCap, files: c.OpenFiles, fileSize: c.FileSize, processes: c.Processes, nice: c.Nice}
}

// guardEvery is how often a plugin's processes are counted, at most; guardAlways how
// often at least. In between they are counted if the machine has grown busier.
const (
	guardEvery  = 200 * time.Millisecond
	guardAlways = 10 * time.Second
)

// guard ends the process and its children when they are too many, until it has ended.
func (p *process) guard(ended <-chan struct{}) {
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	seen, counted := machineTasks(), time.Now()
	for {
		select {
		case <-ended:
			return
		case now := <-tick.C:
			tasks := machineTasks()
			seen = min(seen, tasks)
			if tasks-seen < p.limits.processes/2 && now.Sub(counted) < guardAlways {
				continue
			}
			seen, counted = tasks, now
		}
		if n := groupSize(int(p.pid.Load())); n > p.limits.processes {
			p.overrun.Store(&overrun{n, p.limits.processes})
			_ = p.Kill(context.Background()) // never fails
		}
	}
}

// overrun says that a plugin had too many processes.
type overrun struct{ found, limit int }

func (o *overrun) String() string {
	return fmt.Sprintf("the host ended it: it had %d processes, at most %d are allowed", o.found, o.limit)
}
