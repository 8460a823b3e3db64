package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/millrace/millrace/engine/pluginhost/registry"
)

// Kind is what is done about a plugin's versions.
type Kind string

// The kinds of action.
const (
	Follow     Kind = "follow"     // the folder or the lock file says that another version is due
	Install    Kind = "install"    // a file of the folder is pinned, and taken if it is the highest
	Promote    Kind = "promote"    // one version is taken, higher ones are held
	Rollback   Kind = "rollback"   // the version at work is held, the next one taken
	Quarantine Kind = "quarantine" // a version may not run any more
)

// State says how far an action has come.
type State string

// The states of an action; the last four are outcomes.
const (
	Starting   State = "starting"    // the new version is started beside the old one
	Trying     State = "trial"       // it is at work, the old one stands ready
	Done       State = "done"        // what was asked for is so
	Refused    State = "refused"     // the version at work goes on
	RolledBack State = "rolled back" // it was at work, and the old one is again
	Stopped    State = "stopped"     // the engine ended meanwhile; nothing was judged
)

// Request asks for an action.
type Request struct {
	Kind    Kind
	Name    string
	Version string // not of a rollback
	Reason  string // of a quarantine
	Replace bool   // install: another content under the same version is meant to be
	Lift    bool   // promote: also out of quarantine
	OneWay  bool   // promote: also a version whose keyed state the one at work cannot read; there is no trial
}

// Action is one change of a plugin's versions, with its outcome.
type Action struct {
	ID      string     `json:"id"`
	Kind    Kind       `json:"kind"`
	Name    string     `json:"name"`
	Version string     `json:"version,omitempty"` // that was asked for
	State   State      `json:"state"`
	Text    string     `json:"text,omitempty"` // the outcome for people
	Started time.Time  `json:"started"`
	Ended   *time.Time `json:"ended,omitempty"`
	Nodes   []NodeSwap `json:"nodes,omitempty"`
}

// NodeSwap is what an action did to one node.
type NodeSwap struct {
	Node       string  `json:"node"`
	From       string  `json:"from"` // name@version#hash8
	To         string  `json:"to"`
	Lanes      int     `json:"lanes"`
	PauseP50Ms float64 `json:"pause_p50_ms"` // for which a lane stood still
	PauseMaxMs float64 `json:"pause_max_ms"`
}

// Over reports whether the action has its outcome.
func (a *Action) Over() bool { return a.Ended != nil }

// Mistake is what is wrong with a request.
type Mistake struct{ Err error }

// Error implements error.
func (m Mistake) Error() string { return m.Err.Error() }

// Unwrap returns the reason.
func (m Mistake) Unwrap() error { return m.Err }

// ErrNoAction is returned for the id of no action.
var ErrNoAction = errors.New("no such action")

// action is an Action under way. Its record is guarded by the host's mu.
type action struct {
	Action
	host   *Host
	oneWay bool
	abort  chan *abortError // capacity 1: a person wants the trial to end
	undo   []registry.Entry // what the lock file said before
}

const keptActions = 200

// Act begins what is asked for and returns at once; [Host.Action] tells how it
// goes. The error is a [Mistake], or says that another action is under way.
func (h *Host) Act(req Request) (Action, error) {
	if !registry.ValidName(req.Name) {
		return Action{}, Mistake{fmt.Errorf("plugin %q: a name is small letters, digits, - and _", req.Name)}
	}
	if _, err := semver.StrictNewVersion(req.Version); err != nil && req.Kind != Rollback {
		return Action{}, Mistake{fmt.Errorf("version %q of %s: %w", req.Version, req.Name, err)}
	}
	if ended := h.endTrial(req); ended != nil {
		return *ended, nil
	}
	a, err := h.begin(req)
	if err != nil {
		return Action{}, err
	}
	h.under.Go(func() { a.run(req) })
	return h.Action(a.ID)
}

// endTrial answers a rollback, or a quarantine of the very version on trial: the trial
// ends. For anything else it returns nil.
func (h *Host) endTrial(req Request) *Action {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.busy[req.Name]
	if a == nil || a.State != Trying {
		return nil
	}
	end := &abortError{text: string(req.Kind) + " on request" + strings.TrimSuffix(": "+req.Reason, ": ")}
	switch {
	case req.Kind == Rollback:
		end.leaves = registry.Held
	case req.Kind == Quarantine && req.Version == a.Version:
		end.leaves = registry.Quarantined
	default:
		return nil
	}
	select {
	case a.abort <- end:
	default: // it is ending
	}
	record := a.record()
	return &record
}

func (h *Host) begin(req Request) (*action, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if other := h.busy[req.Name]; other != nil {
		return nil, Mistake{fmt.Errorf("action %s on %s is under way (%s, %s): wait for its outcome, or roll it back", other.ID, req.Name, other.Kind, other.State)}
	}
	if h.stopped.Err() != nil {
		return nil, ErrClosed
	}
	h.numbers++
	now := time.Now().UTC()
	a := &action{host: h, oneWay: req.OneWay, abort: make(chan *abortError, 1), Action: Action{
		ID: fmt.Sprintf("%s-%d", now.Format("20060102T150405"), h.numbers), Kind: req.Kind, Name: req.Name, Version: req.Version,
		State: Starting, Started: now,
	}}
	h.busy[req.Name] = a
	h.actions = append(h.actions, a)
	if len(h.actions) > keptActions {
		h.actions = slices.Delete(h.actions, 0, 1)
	}
	return a, nil
}

// Action returns the action id; the error is [ErrNoAction] if there is none.
func (h *Host) Action(id string) (Action, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.actions {
		if a.ID == id {
			return a.record(), nil
		}
	}
	return Action{}, fmt.Errorf("%q: %w; the latest %d are kept", id, ErrNoAction, keptActions)
}

// Actions returns the latest actions, the earliest first.
func (h *Host) Actions() []Action {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]Action, len(h.actions))
	for i, a := range h.actions {
		all[i] = a.record()
	}
	return all
}

func (a *action) record() Action {
	r := a.Action
	r.Nodes = slices.Clone(r.Nodes)
	return r
}

// tell lets others know how far the action has come.
func (a *action) tell() {
	if a.host.cfg.Told == nil {
		return
	}
	a.host.mu.Lock()
	r := a.record()
	a.host.mu.Unlock()
	a.host.cfg.Told(r)
}

func (a *action) set(state State) {
	a.host.mu.Lock()
	defer a.host.mu.Unlock()
	a.State = state
}

// end gives the action its outcome.
func (a *action) end(state State, format string, args ...any) {
	h := a.host
	h.mu.Lock()
	now := time.Now().UTC()
	a.State, a.Text, a.Ended = state, fmt.Sprintf(format, args...), &now
	delete(h.busy, a.Name)
	if state == Refused || state == RolledBack {
		h.failed[a.Name] = now
	}
	h.mu.Unlock()
	a.tell()
	log := h.cfg.Logger.Info
	if state == Refused || state == RolledBack {
		log = h.cfg.Logger.Error
	}
	log("plugin action "+string(state), "action", a.ID, "kind", a.Kind, "plugin", a.Name, "outcome", a.Text)
}

// run does what req asks for.
func (a *action) run(req Request) {
	var err error
	if a.undo, err = a.host.registry.Entries(a.Name); err == nil {
		err = a.mark(req)
	}
	if err != nil {
		a.end(Refused, "%v", err)
		return
	}
	a.follow(a.host.stopped)
}

// mark writes into the lock file what req means for it.
func (a *action) mark(req Request) error {
	reg := a.host.registry
	switch req.Kind {
	case Install:
		pin := reg.Pin
		if req.Replace {
			pin = reg.Replace
		}
		_, err := pin(req.Name, req.Version)
		return err
	case Promote:
		return a.markPromoted(req)
	case Rollback:
		versions := a.atWork()
		if len(versions) == 0 {
			return fmt.Errorf("no node runs %s", a.Name)
		}
		for _, version := range versions {
			if err := reg.Set(a.Name, version, registry.Held, "rolled back on request"); err != nil {
				return err
			}
		}
	case Quarantine:
		reason := req.Reason
		defaultTo(&reason, "on request")
		return reg.Set(req.Name, req.Version, registry.Quarantined, clip(reason, 400))
	}
	return nil
}

// markPromoted makes one version ready and holds the higher ones.
func (a *action) markPromoted(req Request) error {
	reg := a.host.registry
	e, err := reg.Pin(req.Name, req.Version)
	if err != nil {
		return err
	}
	if e.State == registry.Quarantined && !req.Lift {
		return fmt.Errorf("%s@%s is quarantined (%s); lift it expressly with --lift", e.Name, e.Version, e.Reason)
	}
	if err := reg.Set(req.Name, req.Version, registry.Ready, ""); err != nil {
		return err
	}
	chosen := semver.MustParse(req.Version)
	for _, other := range a.undo {
		if v, err := semver.StrictNewVersion(other.Version); err != nil || !v.GreaterThan(chosen) || other.State != registry.Ready {
			continue
		}
		if err := reg.Set(other.Name, other.Version, registry.Held, req.Version+" was promoted"); err != nil {
			return err
		}
	}
	return nil
}

// atWork returns the versions of the plugin that nodes run.
func (a *action) atWork() []string {
	var versions []string
	for _, t := range a.host.following(a.Name) {
		if v := t.Binary().Version; !slices.Contains(versions, v) {
			versions = append(versions, v)
		}
	}
	return versions
}

// following returns the nodes of a plugin that follow the folder; of all if name is "".
func (h *Host) following(name string) []*Transform {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []*Transform
	for _, t := range h.nodes {
		if plugin, _, _ := strings.Cut(t.node.Ref, "@"); name == "" || plugin == name {
			found = append(found, t)
		}
	}
	return found
}

// due returns the program that t should run and does not, nil if it runs it. A
// version at work is left only for a higher one, or when it may not run any more:
// that its file is gone means nothing. Files for which skip is true do not count.
func (h *Host) due(t *Transform, skip func(registry.File) bool) (*registry.Entry, error) {
	name, constraint, err := parseRef(t.node.Ref)
	if err != nil {
		return nil, err
	}
	best, err := h.registry.Best(name, constraint, skip, h.warnOnce)
	if err != nil {
		return nil, err
	}
	now := t.Binary()
	if best.Version == now.Version && best.Hash == now.Hash {
		return nil, nil
	}
	lower := semver.MustParse(best.Version).LessThan(semver.MustParse(now.Version))
	if ready, err := h.registry.Ready(now); lower && ready || err != nil {
		return nil, err
	}
	return &best, nil
}

// warnOnce logs what is wrong with a file of the folder, once.
func (h *Host) warnOnce(err error) {
	if _, told := h.told.LoadOrStore(err.Error(), true); !told {
		h.cfg.Logger.Error("plugin file is not used, its pinned copy is", "error", err)
	}
}

// change is one node on its way to another version.
type change struct {
	node   *Transform
	from   *worker
	to     *worker
	before [2]uint64 // events and bad events of from until the change
}

// follow brings every node of the plugin to the version that is due, or none.
func (a *action) follow(ctx context.Context) {
	changes, err := a.prepare(ctx)
	switch {
	case err != nil:
		a.refuse(changes, err)
	case len(changes) == 0:
		a.end(Done, "no node has another version to run")
	default:
		a.swap(ctx, changes)
	}
}

// prepare starts what is due beside what is at work.
func (a *action) prepare(ctx context.Context) ([]change, error) {
	var changes []change
	var skip func(registry.File) bool
	if a.Kind == Follow {
		skip = a.host.unsettled
	}
	for _, t := range a.host.following(a.Name) {
		e, err := a.host.due(t, skip)
		if err != nil {
			return changes, fmt.Errorf("node %q: %w", t.node.Node, err)
		}
		if e == nil {
			continue
		}
		prog, err := a.host.registry.Open(*e)
		if err != nil {
			return changes, err
		}
		from := t.worker()
		a.note(NodeSwap{Node: t.node.Node, From: from.stamp, To: prog.String(), Lanes: len(t.lanes)})
		to, err := t.rehearse(ctx, prog)
		if err != nil {
			return changes, &unfitError{e.Name, e.Version, err}
		}
		changes = append(changes, change{node: t, from: from, to: to})
		if !from.follows(to) && !a.oneWay {
			return changes, &unfitError{e.Name, e.Version, fmt.Errorf("node %q: plugin %s: %w: it %s, and %s %s; engine plugin promote --one-way takes it all the same",
				t.node.Node, to.stamp, errOneWay, to.layouts, from.stamp, from.layouts)}
		}
	}
	return changes, nil
}

// errOneWay refuses a version after which there is no way back.
var errOneWay = errors.New("there would be no way back from its keyed state")

// follows reports whether w could go on where next has stored state.
func (w *worker) follows(next *worker) bool {
	return next.layouts.version == "" || w.layouts.reads(next.layouts.version)
}

// unfitError says which version did not pass its preparation.
type unfitError struct {
	name, version string
	err           error
}

func (e *unfitError) Error() string { return e.err.Error() }
func (e *unfitError) Unwrap() error { return e.err }

func (a *action) note(n NodeSwap) {
	a.host.mu.Lock()
	defer a.host.mu.Unlock()
	a.Nodes = append(a.Nodes, n)
}

// refuse leaves everything as it was, but for the version that proved unfit: it is
// held if a node's configuration does not suit it, else quarantined.
func (a *action) refuse(changes []change, reason error) {
	for _, c := range changes {
		c.to.close()
	}
	if a.host.stopped.Err() != nil {
		a.end(Stopped, "the engine ended")
		return
	}
	a.restore()
	if unfit, ok := errors.AsType[*unfitError](reason); ok {
		state := registry.Quarantined
		if isA[*ConfigError](reason) || errors.Is(reason, ErrState) || errors.Is(reason, errOneWay) {
			state = registry.Held // nothing is wrong with the program
		}
		a.brand(unfit.name, unfit.version, state, reason.Error())
	}
	a.end(Refused, "%v; what was at work goes on", reason)
}

// restore puts the lock file back to what it said before the action.
func (a *action) restore() {
	if err := a.host.registry.Restore(a.undo); err != nil {
		a.host.cfg.Logger.Error("plugins.lock is not put back", "action", a.ID, "error", err)
	}
}

// brand marks the version that failed.
func (a *action) brand(name, version string, state registry.State, reason string) {
	if err := a.host.registry.Set(name, version, state, clip(reason, 400)); err != nil {
		a.host.cfg.Logger.Error("plugin version is not marked", "action", a.ID, "plugin", name+"@"+version, "state", state, "error", err)
	}
}
