// Package deploy_test checks the files that put the engine into service: the
// systemd unit, the compose file and the example of its environment.
package deploy_test

import (
	"bufio"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// unit parses a systemd unit into section.key -> value (systemd.syntax(7);
// no line continuations, no repeated keys but Environment).
func unit(t *testing.T, text string) map[string]string {
	t.Helper()
	values := map[string]string{}
	section := ""
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[' && line[len(line)-1] == ']':
			section = line[1 : len(line)-1]
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok || section == "" {
				t.Fatalf("line %d: %q", n, line)
			}
			if _, twice := values[section+"."+key]; twice {
				t.Errorf("line %d: %s is set twice", n, key)
			}
			values[section+"."+key] = value
		}
	}
	return values
}

func TestUnitIsHardenedAndDrains(t *testing.T) {
	values := unit(t, read(t, "millrace.service"))
	for key, want := range map[string]string{
		"Service.ExecStart":                "/usr/bin/engine run /etc/millrace/pipelines/charts.yaml",
		"Service.EnvironmentFile":          "/etc/millrace/millrace.env",
		"Service.Restart":                  "on-failure",
		"Service.RestartPreventExitStatus": "2",
		"Service.KillMode":                 "mixed", // plugin processes live through the drain
		"Service.StateDirectory":           "millrace",
		"Service.WorkingDirectory":         "/var/lib/millrace",
		"Service.NoNewPrivileges":          "yes",
		"Service.ProtectSystem":            "strict",
		"Service.CapabilityBoundingSet":    "",
		"Unit.StartLimitIntervalSec":       "0",
		"Install.WantedBy":                 "multi-user.target",
	} {
		if got, ok := values[key]; !ok || got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	const drain = 30 * time.Second // and as long again for the rows in flight
	if stop, err := time.ParseDuration(values["Service.TimeoutStopSec"]); err != nil || stop < 2*drain {
		t.Errorf("TimeoutStopSec = %s, %v; want at least twice the drain of %s", stop, err, drain)
	}
}

type compose struct {
	Name     string `yaml:"name"`
	Services map[string]struct {
		Image       string            `yaml:"image"`
		Hostname    string            `yaml:"hostname"`
		WorkingDir  string            `yaml:"working_dir"`
		Command     []string          `yaml:"command"`
		Environment map[string]string `yaml:"environment"`
		Configs     []struct{ Source, Target string }
		Ports       []string `yaml:"ports"`
		Volumes     []string `yaml:"volumes"`
		StopGrace   string   `yaml:"stop_grace_period"`
		Healthcheck struct {
			Test     []string
			Interval string
			Timeout  string
			Retries  int
		}
		DependsOn map[string]struct{ Condition string } `yaml:"depends_on"`
	} `yaml:"services"`
	Configs map[string]struct{ Content string }
	Volumes map[string]struct{}
}

func parseCompose(t *testing.T) compose {
	t.Helper()
	dec := yaml.NewDecoder(strings.NewReader(read(t, "compose.yaml")))
	dec.KnownFields(true)
	var c compose
	if err := dec.Decode(&c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestComposeServersKeepWhatTheyAccept(t *testing.T) {
	c := parseCompose(t)
	redis := strings.Join(c.Services["redis"].Command, " ")
	for _, want := range []string{"--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"} {
		if !strings.Contains(redis, want) {
			t.Errorf("redis runs %q, want %q in it", redis, want)
		}
	}
	for _, name := range []string{"rabbitmq", "redis", "mariadb"} {
		s := c.Services[name]
		if len(s.Volumes) == 0 || len(s.Healthcheck.Test) == 0 {
			t.Errorf("%s: volumes %q, health check %q; want both", name, s.Volumes, s.Healthcheck.Test)
		}
		if got := c.Services["engine"].DependsOn[name].Condition; got != "service_healthy" {
			t.Errorf("the engine waits for %s to be %q, want service_healthy", name, got)
		}
	}
}

func TestComposeShowsNothingToTheNetwork(t *testing.T) {
	for name, s := range parseCompose(t).Services {
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to others", name, port)
			}
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if _, named := parseCompose(t).Volumes[source]; !named && !strings.HasPrefix(source, ".") {
				t.Errorf("%s: volume %s is not declared", name, source)
			}
		}
	}
}

// TestEnvironmentIsWhatThePipelineAsksFor compares the variables that
// pipelines/charts.yaml names with those that the two ways of service set.
func TestEnvironmentIsWhatThePipelineAsksFor(t *testing.T) {
	var asked []string
	for _, m := range regexp.MustCompile(`\$\{([A-Z_]+):embedded\}`).FindAllStringSubmatch(read(t, "../../../pipelines/charts.yaml"), -1) {
		asked = append(asked, m[1])
	}
	slices.Sort(asked)
	asked = slices.Compact(asked)
	if want := []string{"AMQP_URLS", "DB_DSN", "REDIS_URL"}; !slices.Equal(asked, want) {
		t.Fatalf("the pipeline asks for %q, want %q", asked, want)
	}
	example, environment := read(t, "millrace.env.example"), parseCompose(t).Services["engine"].Environment
	for _, name := range asked {
		if !regexp.MustCompile(`(?m)^` + name + `=.`).MatchString(example) {
			t.Errorf("millrace.env.example does not set %s", name)
		}
		if environment[name] == "" {
			t.Errorf("compose.yaml does not set %s", name)
		}
	}
}
