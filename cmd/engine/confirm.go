package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// confirm asks on standard error and reads one line of standard input; only "yes"
// or "y" goes on.
func confirm(cmd *cobra.Command, question string) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [yes/no] ", question)
	answer, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 1024)).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "yes", "y":
		return nil
	}
	if err != nil { // nobody there to answer
		fmt.Fprintln(cmd.ErrOrStderr())
	}
	return configError(fmt.Errorf("nothing was changed: answer yes, or give --yes"))
}
