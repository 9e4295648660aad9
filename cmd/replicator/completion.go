package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help implements kong.HelpProvider.
func (completionCmd) Help() string {
	return `Examples:

    source <(replicator completion bash)                                              # in ~/.bashrc
    source <(replicator completion zsh)                                               # in ~/.zshrc, behind compinit
    replicator completion fish > ~/.config/fish/completions/replicator.fish

Prints a script that makes the shell complete commands and flags. It asks no node.`
}

// Run prints the script.
func (c *completionCmd) Run(a *app, k *kong.Kong) error {
	write := map[string]func([]place) string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}[c.Shell]
	return a.printf("%s", write(places(k.Model.Node, "")))
}

// A place is where in a command line something is completed: behind a command.
type place struct {
	at       string // the words of the command with / between them; empty: none was given
	commands []*kong.Node
	flags    []*kong.Flag
}

// places lists the command and those below it.
func places(n *kong.Node, at string) []place {
	p := place{at: at}
	for _, group := range n.AllFlags(true) {
		p.flags = append(p.flags, group...)
	}
	var below []place
	for _, child := range n.Children {
		if child.Type == kong.CommandNode && !child.Hidden {
			p.commands = append(p.commands, child)
			below = append(below, places(child, strings.TrimPrefix(at+"/"+child.Name, "/"))...)
		}
	}
	return append([]place{p}, below...)
}

// steps lists all commands as at/word, as the scripts find their way.
func steps(list []place) []string {
	var words []string
	for _, p := range list {
		for _, c := range p.commands {
			words = append(words, p.at+"/"+c.Name)
		}
	}
	return words
}

// words are the commands and the flags that may stand at a place.
func (p *place) words() (commands, flags string) {
	for _, c := range p.commands {
		commands += " " + c.Name
	}
	for _, f := range p.flags {
		flags += " --" + f.Name
	}
	return strings.TrimSpace(commands), strings.TrimSpace(flags)
}

// choices are the flags that take one of a few words, by name.
func choices(list []place) map[string]string {
	found := map[string]string{}
	for _, p := range list {
		for _, f := range p.flags {
			if f.Enum != "" {
				found["--"+f.Name] = strings.ReplaceAll(f.Enum, ",", " ")
			}
		}
	}
	return found
}

// A script is written line by line.
type script struct{ strings.Builder }

func (s *script) line(format string, args ...any) { _, _ = fmt.Fprintf(s, format+"\n", args...) }

// cases writes the arms of a case over at that name the words of each place.
func (s *script) cases(list []place, arm string) {
	for _, p := range list {
		commands, flags := p.words()
		s.line(arm, p.at, commands, flags)
	}
}

func bashScript(list []place) string {
	var s script
	s.line("# bash completion for replicator: source <(replicator completion bash)")
	s.line("_replicator() {")
	s.line(`  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" at="" words="" flags="" i`)
	s.line(`  for ((i = 1; i < COMP_CWORD; i++)); do`)
	s.line(`    case "$at/${COMP_WORDS[i]}" in %s) at="${at:+$at/}${COMP_WORDS[i]}" ;; esac`, strings.Join(steps(list), "|"))
	s.line(`  done`)
	s.line(`  case "$at" in`)
	s.cases(list, `    "%s") words="%s" flags="%s" ;;`)
	s.line(`  esac`)
	s.line(`  [[ "$cur" == -* ]] && words="$flags"`)
	s.line(`  case "$prev" in`)
	enums := choices(list)
	for _, flag := range slices.Sorted(maps.Keys(enums)) {
		s.line(`    %s) words="%s" ;;`, flag, enums[flag])
	}
	s.line(`  esac`)
	s.line(`  COMPREPLY=($(compgen -W "$words" -- "$cur"))`)
	s.line("}")
	s.line("complete -o default -F _replicator replicator")
	return s.String()
}

func zshScript(list []place) string {
	var s script
	s.line("#compdef replicator")
	s.line("# zsh completion for replicator: source <(replicator completion zsh)")
	s.line("_replicator() {")
	s.line(`  local at="" word prev="${words[CURRENT-1]}"`)
	s.line(`  local -a may flags`)
	s.line(`  for word in "${(@)words[2,CURRENT-1]}"; do`)
	s.line(`    case "$at/$word" in (%s) at="${at:+$at/}$word" ;; esac`, strings.Join(steps(list), "|"))
	s.line(`  done`)
	s.line(`  case "$at" in`)
	s.cases(list, `    ("%s") may=(%s) flags=(%s) ;;`)
	s.line(`  esac`)
	s.line(`  [[ "$PREFIX" == -* ]] && may=("${flags[@]}")`)
	s.line(`  case "$prev" in`)
	enums := choices(list)
	for _, flag := range slices.Sorted(maps.Keys(enums)) {
		s.line(`    (%s) may=(%s) ;;`, flag, enums[flag])
	}
	s.line(`  esac`)
	s.line(`  if (( ${#may} )); then compadd -- "${may[@]}"; else _files; fi`)
	s.line("}")
	s.line("compdef _replicator replicator")
	return s.String()
}

func fishScript(list []place) string {
	var s script
	s.line("# fish completion for replicator: replicator completion fish > ~/.config/fish/completions/replicator.fish")
	s.line("function __replicator_at")
	s.line(`  set -l at ""`)
	s.line("  for word in (commandline -opc)[2..]")
	s.line(`    switch "$at/$word"`)
	s.line("      case %s", strings.Join(steps(list), " "))
	s.line(`        set at (string trim --left --chars=/ -- "$at/$word")`)
	s.line("    end")
	s.line("  end")
	s.line(`  test "$at" = "$argv[1]"`)
	s.line("end")
	for _, p := range list {
		for _, c := range p.commands {
			s.line("complete -c replicator -f -n '__replicator_at \"%s\"' -a %s -d %s", p.at, c.Name, fishQuote(c.Help))
		}
		for _, f := range p.flags {
			s.line("complete -c replicator -n '__replicator_at \"%s\"' -l %s%s -d %s", p.at, f.Name, fishFlag(f), fishQuote(f.Help))
		}
	}
	return s.String()
}

// fishFlag is what fish wants to know of a flag: its letter, and what follows it.
func fishFlag(f *kong.Flag) (text string) {
	if f.Short != 0 {
		text = " -s " + string(f.Short)
	}
	switch {
	case f.Enum != "":
		text += " -x -a " + fishQuote(strings.ReplaceAll(f.Enum, ",", " "))
	case !f.IsBool():
		text += " -r"
	}
	return text
}

func fishQuote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}
