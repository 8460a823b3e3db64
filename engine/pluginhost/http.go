package pluginhost

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"

	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/pluginhost/registry"
)

// Version is one program that is pinned, or lies in the folder and is not yet.
type Version struct {
	registry.Entry
	Deleted bool     `json:"deleted,omitempty"` // its file is gone from the folder; the copy is kept
	Nodes   []string `json:"nodes,omitempty"`   // that run it
}

// Listing is what GET /api/v1/plugins answers.
type Listing struct {
	Dir      string    `json:"dir"` // absolute
	Versions []Version `json:"versions"`
}

// NodeState is a plugin node as it is now.
type NodeState struct {
	Node     string `json:"node"`
	Ref      string `json:"ref"`  // as in the pipeline file
	Runs     string `json:"runs"` // name@version#hash8
	PID      int    `json:"pid"`  // 0: no process just now
	Restarts uint64 `json:"restarts"`
	Events   uint64 `json:"events"`           // that this version was given
	Bad      uint64 `json:"bad"`              // of them rejected or failed
	Spare    string `json:"spare,omitempty"`  // the version before, ready during a trial
	Reason   string `json:"reason,omitempty"` // why it is not ready
}

// Inspection is what GET /api/v1/plugins/{name} answers.
type Inspection struct {
	Name     string      `json:"name"`
	Versions []Version   `json:"versions"`
	Nodes    []NodeState `json:"nodes"`
	Actions  []Action    `json:"actions"` // the earliest first
}

// List returns every program of the folder; of one plugin unless name is "".
func (h *Host) List(name string) (Listing, error) {
	dir, err := filepath.Abs(h.cfg.Dir)
	if err != nil {
		return Listing{}, err
	}
	entries, err := h.registry.Entries(name)
	if err != nil {
		return Listing{}, err
	}
	files, err := h.registry.Files(name)
	if err != nil {
		return Listing{}, err
	}
	l := Listing{Dir: dir, Versions: []Version{}}
	for _, e := range entries {
		v := Version{Entry: e, Nodes: h.running(e)}
		i := slices.IndexFunc(files, func(f registry.File) bool { return f.Name == e.Name && f.Version.Original() == e.Version })
		v.Deleted = i < 0
		l.Versions = append(l.Versions, v)
	}
	for _, f := range files {
		version := f.Version.Original()
		if !slices.ContainsFunc(entries, func(e registry.Entry) bool { return e.Name == f.Name && e.Version == version }) {
			l.Versions = append(l.Versions, Version{Entry: registry.Entry{Name: f.Name, Version: version, State: NotPinned}})
		}
	}
	return l, nil
}

// NotPinned is the state of a file that no engine has looked at yet.
const NotPinned registry.State = "new"

// running returns the nodes that run a program.
func (h *Host) running(e registry.Entry) []string {
	var nodes []string
	for _, t := range h.following(e.Name) {
		if b := t.Binary(); b.Version == e.Version && b.Hash == e.Hash {
			nodes = append(nodes, t.node.Node)
		}
	}
	return nodes
}

// Inspect returns everything about one plugin.
func (h *Host) Inspect(name string) (Inspection, error) {
	l, err := h.List(name)
	if err != nil {
		return Inspection{}, err
	}
	if len(l.Versions) == 0 {
		return Inspection{}, fmt.Errorf("%q: %w in %s", name, ErrNotFound, l.Dir)
	}
	in := Inspection{Name: name, Versions: l.Versions, Nodes: []NodeState{}, Actions: []Action{}}
	for _, t := range h.following(name) {
		in.Nodes = append(in.Nodes, t.state())
	}
	for _, a := range h.Actions() {
		if a.Name == name {
			in.Actions = append(in.Actions, a)
		}
	}
	return in, nil
}

// States returns the nodes that run plugins and follow the folder.
func (h *Host) States() []NodeState {
	var list []NodeState
	for _, t := range h.following("") {
		list = append(list, t.state())
	}
	return list
}

func (t *Transform) state() NodeState {
	t.mu.Lock()
	w, spare := t.work, t.spare
	t.mu.Unlock()
	s := NodeState{
		Node: t.node.Node, Ref: t.node.Ref, Runs: w.stamp, PID: w.pid(), Restarts: w.restarts.Load(),
		Events: w.tally.events.Load(), Bad: w.tally.bad.Load(), Reason: t.Status().Reason,
	}
	if spare != nil {
		s.Spare = spare.stamp
	}
	return s
}

// Routes returns what answers for h, for [http.ServeMux]:
//
//	GET  /api/v1/plugins                    a [Listing]
//	GET  /api/v1/plugins/actions            {"actions": [Action...]}, the latest 200
//	GET  /api/v1/plugins/actions/{id}       an [Action]
//	GET  /api/v1/plugins/{name}             an [Inspection]
//	POST /api/v1/plugins/{name}/install     also promote, rollback, quarantine; an [Action]
//
// version, reason, replace, lift and one_way are in the query. Programs come from the folder
// alone: nothing is uploaded.
func Routes(h *Host) map[string]http.Handler {
	routes := map[string]http.Handler{
		"GET /api/v1/plugins":              handler(func(*http.Request) (any, error) { return h.List("") }),
		"GET /api/v1/plugins/actions":      handler(func(*http.Request) (any, error) { return map[string]any{"actions": h.Actions()}, nil }),
		"GET /api/v1/plugins/actions/{id}": handler(func(r *http.Request) (any, error) { return h.Action(r.PathValue("id")) }),
		"GET /api/v1/plugins/{name}":       handler(func(r *http.Request) (any, error) { return h.Inspect(r.PathValue("name")) }),
	}
	for _, kind := range []Kind{Install, Promote, Rollback, Quarantine} {
		routes["POST /api/v1/plugins/{name}/"+string(kind)] = handler(func(r *http.Request) (any, error) {
			return h.Act(requestOf(kind, r.PathValue("name"), r.URL.Query()))
		})
	}
	return routes
}

func requestOf(kind Kind, name string, q url.Values) Request {
	return Request{
		Kind: kind, Name: name, Version: q.Get("version"), Reason: q.Get("reason"),
		Replace: q.Get("replace") == "true", Lift: q.Get("lift") == "true", OneWay: q.Get("one_way") == "true",
	}
}

func handler(do func(*http.Request) (any, error)) http.Handler { return httpapi.JSON(codeOf, do) }

func codeOf(err error) int {
	if _, mistake := errors.AsType[Mistake](err); mistake {
		return http.StatusBadRequest
	}
	if errors.Is(err, ErrNoAction) || errors.Is(err, ErrNotFound) {
		return http.StatusNotFound
	}
	return http.StatusServiceUnavailable // the folder is out of reach
}
