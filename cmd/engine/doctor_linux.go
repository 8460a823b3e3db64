package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/doctor"
	"github.com/millrace/millrace/engine/httpapi"
)

func init() { commands = append(commands, newDoctorCmd) }

type doctorFlags struct {
	listen  string
	timeout time.Duration
}

// newDoctorCmd returns `engine doctor`.
func newDoctorCmd() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor FILE",
		Short: "Look at everything that a pipeline needs before it runs",
		Long: `Doctor looks at what "engine run FILE" needs: the file, Redis with its durability
and memory, every broker and its queues, the database with its tables and rights,
plugins, folders and the address to listen on. It looks at everything at once,
reads only, and tells each thing that is wrong with the line that mends it.

Exit codes: 0 ok (there may be warnings), 1 problems, 2 the file is wrong, 3 there
is no problem, but something does not answer.`,
		Example: `  engine doctor pipelines/charts.yaml
  REDIS_URL=redis://localhost:6379/0 engine doctor --json --timeout 2s pipelines/charts.yaml`,
		Args:              usage(cobra.ExactArgs(1)),
		ValidArgsFunction: pipelineFiles,
		RunE:              func(cmd *cobra.Command, args []string) error { return runDoctor(cmd, args[0], f) },
	}
	cmd.Flags().StringVar(&f.listen, "listen", httpapi.DefaultListen, "`host:port` that the run is to listen on")
	cmd.Flags().DurationVar(&f.timeout, "timeout", doctor.DefaultTimeout, "how long each server has to answer, such as `5s`")
	return cmd
}

// examined is the JSON object of `doctor`.
type examined struct {
	OK       bool   `json:"ok"`
	File     string `json:"file"`
	Pipeline string `json:"pipeline"`
	doctor.Report
}

func runDoctor(cmd *cobra.Command, file string, f doctorFlags) error {
	if err := checkListen(f.listen); err != nil {
		return err
	}
	if f.timeout <= 0 {
		return configError(fmt.Errorf("--timeout %s: want more than 0", f.timeout))
	}
	p, _, err := loadFor(cmd, file)
	if err != nil {
		return err
	}
	r := doctor.Check(cmd.Context(), doctor.Options{Pipeline: p, Listen: f.listen, Timeout: f.timeout})
	code := verdict(r)
	if wantsJSON(cmd) {
		err = printJSON(cmd.OutOrStdout(), examined{code == exitOK, file, p.Name, r})
	} else {
		err = r.Write(cmd.OutOrStdout())
	}
	if err == nil && code != exitOK {
		err = told(code)
	}
	return err
}

// verdict is the exit code of a report. A problem counts more than what could not
// be told: whatever that is, the pipeline would not run.
func verdict(r doctor.Report) int {
	switch {
	case r.Has(doctor.Problem):
		return exitFindings
	case r.Has(doctor.Unknown):
		return exitEnvironment
	}
	return exitOK
}
