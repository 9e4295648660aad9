package integration_test

import (
	"os/exec"
	"syscall"
)

// endWithUs has the system kill the process if the tests die before they can.
func endWithUs(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
