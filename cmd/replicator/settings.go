package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// settings are what a settings file says, by the names of flags. A flag can be
// set there if it can be set by the environment.
type settings struct {
	file   string
	values map[string]any
}

// configFile finds the settings file among args, before they are parsed: what
// it says takes part in the parsing.
func configFile(args []string) string {
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if file, ok := strings.CutPrefix(arg, "--config="); ok {
			return file
		}
		if arg == "--config" && i+1 < len(args) {
			return args[i+1]
		}
	}
	return os.Getenv("REPLICATOR_CONFIG")
}

func readSettings(file string) (*settings, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("settings file: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	s := &settings{file: file, values: map[string]any{}}
	var raw map[string]any
	if err := yaml.NewDecoder(f).Decode(&raw); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("settings file %s: %s", file, plainYAML(err))
	}
	for key, value := range raw {
		text, err := settingText(value)
		if err != nil {
			return nil, fmt.Errorf("settings file %s: %s: %w", file, key, err)
		}
		s.values[strings.ReplaceAll(key, "_", "-")] = text
	}
	return s, nil
}

// plainYAML says what the file should have been, not what Go made of it.
func plainYAML(err error) string {
	if e, ok := errors.AsType[*yaml.TypeError](err); ok {
		text := strings.Join(e.Errors, "; ")
		return strings.ReplaceAll(text, "into map[string]interface {}", "as settings, want lines like node: north")
	}
	return err.Error()
}

// settingText writes a value of the file as a flag would have it.
func settingText(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", errors.New("no value")
	case map[string]any:
		return "", errors.New("a mapping does not belong there")
	case []any:
		parts := make([]string, 0, len(v))
		for _, item := range v {
			text, err := settingText(item)
			if err != nil {
				return "", err
			}
			parts = append(parts, strings.ReplaceAll(text, ",", `\,`))
		}
		return strings.Join(parts, ","), nil
	}
	return fmt.Sprint(value), nil
}

// settingName is what a flag is called in the file; empty if it is not there.
func settingName(flag *kong.Flag) string {
	if len(flag.Tag.Envs) == 0 || flag.Name == "config" {
		return ""
	}
	if name := flag.Tag.Get("setting"); name != "" {
		return name
	}
	return flag.Name
}

// Validate refuses a file with a key that is no setting.
func (s *settings) Validate(model *kong.Application) error {
	var known []string
	_ = kong.Visit(model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			known = append(known, settingName(flag))
		}
		return next(nil)
	})
	for key := range s.values {
		if key == "" || !slices.Contains(known, key) {
			return fmt.Errorf("settings file %s: unknown key %q", s.file, key)
		}
	}
	return nil
}

// Resolve gives the file's value for a flag that the environment does not set.
func (s *settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Tag.Envs {
		if _, ok := os.LookupEnv(env); ok {
			return nil, nil //nolint:nilnil // kong's word for: not here
		}
	}
	if value, ok := s.values[settingName(flag)]; ok {
		return value, nil
	}
	return nil, nil //nolint:nilnil // kong's word for: not here
}
