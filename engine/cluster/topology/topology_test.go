package topology

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/spec"
)

var update = flag.Bool("update", false, "write the golden files again")

// TestEveryMistakeIsReportedAtOnce compares what is said about each wrong file,
// warnings included, with its golden text.
func TestEveryMistakeIsReportedAtOnce(t *testing.T) {
	files, err := filepath.Glob("../../../testdata/clusters/errors/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			top, diags := Parse(filepath.Base(file), data, nil)
			if top != nil {
				t.Error("the file is accepted")
			}
			var got strings.Builder
			for _, d := range diags {
				fmt.Fprintln(&got, d)
				if d.Line == 0 {
					t.Errorf("no place: %s", d)
				}
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", got.String())
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (write it again with -update):\n%s", file, got)
	}
}

func plants(t *testing.T, edits ...string) *Topology {
	t.Helper()
	data, err := os.ReadFile("../../../pipelines/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	top, diags := Parse("cluster.yaml", []byte(strings.NewReplacer(edits...).Replace(string(data))), nil)
	if top == nil || len(edits) == 0 && len(diags) > 0 {
		t.Fatal(diags)
	}
	return top
}

func TestMembersAreOwnerReplicaAndNeighbour(t *testing.T) {
	top := plants(t)
	for queue, want := range map[string][]string{
		"master.plant1": {"rabbit@WIN1", "rabbit@linux", "rabbit@WIN2"},
		"master.plant4": {"rabbit@WIN4", "rabbit@linux", "rabbit@WIN1"},
	} {
		if got := top.Copies(top.queue(queue)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", queue, got, want)
		}
	}
	if p := top.Policies(); len(p) != 0 {
		t.Errorf("quorum queues need no policy: %v", p)
	}
}

func TestMirroredQueuesHaveOnePolicyPerOwner(t *testing.T) {
	top := plants(t, "profile: quorum", "profile: mirrored", "- { name: master.plant2, owner: WIN2 }",
		"- { name: master.plant2, owner: WIN2 }\n  - { name: master.more, owner: WIN2 }")
	policies := top.Policies()
	if len(policies) != 4 {
		t.Fatalf("%d policies: %v", len(policies), policies)
	}
	p := top.PolicyOf("master.more")
	want := map[string]any{
		"ha-mode": "nodes", "ha-params": []string{"rabbit@WIN2", "rabbit@linux"}, "ha-sync-mode": "automatic",
		"ha-promote-on-failure": "when-synced", "ha-promote-on-shutdown": "when-synced",
	}
	if p.Pattern != `^(master\.plant2|master\.more)$` || !reflect.DeepEqual(p.Definition, want) {
		t.Errorf("%+v", p)
	}
	if top.PolicyOf("masterXplant2") != nil {
		t.Error("the pattern takes a dot for any character")
	}
}

func TestDeliveryLimitOfFourIsSwitchedOff(t *testing.T) {
	top := plants(t, `version: "3.10"`, `version: "4.1"`)
	if p := top.PolicyOf("master.plant1"); p == nil || p.Definition["delivery-limit"] != -1 {
		t.Errorf("%+v", p)
	}
}

func TestDeadLettersOfOthersAreAtLeastOnce(t *testing.T) {
	top := plants(t, "- { name: master.plant2, owner: WIN2 }",
		"- { name: master.plant2, owner: WIN2, engine: false, delivery_limit: 9, dead_letter: { exchange: plant1 } }")
	p := top.PolicyOf("master.plant2")
	if p == nil || p.Definition["dead-letter-strategy"] != "at-least-once" || p.Definition["overflow"] != "reject-publish" || p.Definition["delivery-limit"] != 9 {
		t.Errorf("%+v", p)
	}
}

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		expected, version string
		want              bool
	}{{"3.10", "3.10.8", true}, {"3.1", "3.10.8", false}, {"25", "25.2.3", true}, {"", "x", true}, {"3.10.8", "3.10.8", true}, {"3.10", "", false}} {
		if got := Fits(c.expected, c.version); got != c.want {
			t.Errorf("Fits(%q, %q) = %v", c.expected, c.version, got)
		}
	}
	if VersionAtLeast("3.13.7", 4, 0) || !VersionAtLeast("4.0.1", 4, 0) || VersionAtLeast("", 0, 0) || !VersionAtLeast("4.10", 4, 3) {
		t.Error("VersionAtLeast")
	}
}

func TestPasswordsAreNeverShown(t *testing.T) {
	text := "kind: cluster\nversion: 1\nname: p\nadmin: {user: a, password: \"${P}\"}\nprofile: \"${P}\"\nnodes: []\nqueues: []\n"
	_, diags := Parse("c", []byte(text), func(string) (string, bool) { return "hunter2", true })
	if len(diags) == 0 || strings.Contains(fmt.Sprint(diags), "hunter2") {
		t.Errorf("%v", diags)
	}
	if top := plants(t); strings.Contains(fmt.Sprintf("%+v", *top), "guest:guest") || fmt.Sprint(top.Admin.Password) != "***" {
		t.Error("a password is printed")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("kind: cluster\nversion: 1\nname: p\nnodes: [{name: A, os: linux, role: replica}]\nqueues: [{name: q, owner: A, members: [A]}]\n"))
	f.Add([]byte("nodes: [{}, {name: x, storage: ram}]\nqueues: [{}, {members: [a, a]}]\nbindings: [{}]\nusers: [{read: '['}]\ntls: {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		top, diags := Parse("fuzz.yaml", data, nil)
		if (top == nil) != spec.HasErrors(diags) {
			t.Fatalf("topology %v with %v", top, diags)
		}
		if top != nil {
			top.Policies()
		}
	})
}
