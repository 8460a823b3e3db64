//go:build unix

package pluginhost

import "syscall"

// ownGroup puts a process into a group of its own, away from the terminal's
// signals and together with whatever it starts.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) } // gone already is as good
