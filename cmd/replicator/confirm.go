package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// confirm asks whether to go on, unless --yes has answered that. Where nobody
// sits at a terminal, nobody can be asked.
func (a *app) confirm(what string, f yesFlag) error {
	if f.Yes {
		return nil
	}
	in, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return usage(errors.New(strings.TrimSuffix(what, ".") + ": to be confirmed with --yes"))
	}
	_, _ = fmt.Fprintf(a.err, "%s Go on? [y/N] ", what)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("not confirmed, nothing was done")
}
