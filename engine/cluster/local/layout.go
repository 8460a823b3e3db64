// Package local makes private RabbitMQ clusters on one machine from the installed
// rabbitmq-server: own names, ports, folders and cookie, loopback only. Tests,
// demonstrations and rehearsals run on them; system services are never touched.
package local

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Bounds on the number of nodes. Each takes about 130 MB of memory.
const (
	MinNodes = 1
	MaxNodes = 9
)

// layoutFile in a cluster's folder holds its layout as JSON.
const layoutFile = "local.json"

// Cluster is the layout of a private cluster. It does not change once it is laid
// out, so any number of goroutines may use it.
type Cluster struct {
	Dir     string            `json:"-"`
	Scripts string            `json:"scripts"` // folder of rabbitmq-server and rabbitmqctl
	EPMD    int               `json:"epmd"`    // port of the port mapper
	Nodes   []Node            `json:"nodes"`
	Conf    map[string]string `json:"conf,omitempty"` // more lines of rabbitmq.conf, for every node
	Plugins []string          `json:"plugins"`
	Alone   bool              `json:"alone,omitempty"` // nodes do not look for each other
}

// Node is one node of a private cluster.
type Node struct {
	Name   string `json:"name"`   // such as WIN1
	IP     string `json:"ip"`     // 127.0.0.1, or an address in a network namespace
	Space  string `json:"space"`  // network namespace, "" for none
	AMQP   int    `json:"amqp"`   // ports
	Dist   int    `json:"dist"`   // between the nodes
	HTTP   int    `json:"http"`   // management
	Erlang string `json:"erlang"` // such as WIN1@localhost
}

// Names returns the names of n nodes: the Linux node is the last one.
func Names(n int) []string {
	var names []string
	for i := 1; i < n; i++ {
		names = append(names, fmt.Sprintf("WIN%d", i))
	}
	return append(names, "linux")
}

// Options say what to lay out.
type Options struct {
	Dir   string
	Nodes int
	Port  func() (int, error) // returns a free port; nil: any that is free now
	Conf  map[string]string   // more lines of rabbitmq.conf
	Alone bool                // the nodes do not look for each other: a join is by hand
	Place func(i int, n *Node)
}

// Lay makes the folders and files of a cluster and starts nothing. The folder
// must be empty or not exist.
func Lay(o Options) (*Cluster, error) {
	if o.Nodes < MinNodes || o.Nodes > MaxNodes {
		return nil, fmt.Errorf("%d nodes: want %d to %d", o.Nodes, MinNodes, MaxNodes)
	}
	scripts, err := findScripts()
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: dir, Scripts: scripts, Conf: o.Conf, Plugins: []string{"rabbitmq_management"}, Alone: o.Alone}
	if o.Port == nil {
		o.Port = freePort
	}
	if err := c.places(o); err != nil {
		return nil, err
	}
	return c, c.write()
}

func (c *Cluster) places(o Options) error {
	var err error
	if c.EPMD, err = o.Port(); err != nil {
		return err
	}
	for i, name := range Names(o.Nodes) {
		n := Node{Name: name, IP: "127.0.0.1", Erlang: name + "@localhost"}
		for _, port := range []*int{&n.AMQP, &n.Dist, &n.HTTP} {
			if *port, err = o.Port(); err != nil {
				return err
			}
		}
		if o.Place != nil {
			o.Place(i, &n)
		}
		c.Nodes = append(c.Nodes, n)
	}
	return nil
}

// freePort returns a port that nobody listens on now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// findScripts returns the folder of the plain scripts. What Debian puts into PATH
// are wrappers that change to the service's user and folders.
func findScripts() (string, error) {
	const debian = "/usr/lib/rabbitmq/bin"
	if _, err := os.Stat(filepath.Join(debian, "rabbitmq-server")); err == nil {
		return debian, nil
	}
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, "rabbitmq-server")); err == nil {
			return filepath.Dir(path), nil
		}
	}
	return "", errors.New("rabbitmq-server is not installed (on Debian: apt-get install rabbitmq-server)")
}

// Open reads the layout of a cluster that was laid out in dir.
func Open(dir string) (*Cluster, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, layoutFile))
	if err != nil {
		return nil, fmt.Errorf("there is no local cluster in %s: %w", dir, err)
	}
	c := &Cluster{Dir: dir}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("%s of %s: %w", layoutFile, dir, err)
	}
	return c, nil
}

// Node returns the node called name, nil if there is none.
func (c *Cluster) Node(name string) *Node {
	i := slices.IndexFunc(c.Nodes, func(n Node) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	return &c.Nodes[i]
}

func (c *Cluster) write() error {
	if left, err := os.ReadDir(c.Dir); err == nil && len(left) > 0 {
		return fmt.Errorf("%s is not empty: take another folder", c.Dir)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	layout, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	errs := []error{
		os.WriteFile(filepath.Join(c.Dir, layoutFile), layout, 0o600),
		os.WriteFile(c.CookieFile(), []byte(rand.Text()), 0o400),
	}
	for i := range c.Nodes {
		errs = append(errs, c.writeNode(&c.Nodes[i]))
	}
	last := &c.Nodes[len(c.Nodes)-1]
	within := ""
	if last.Space != "" {
		within = "ip netns exec " + last.Space + " "
	}
	ctl := fmt.Sprintf("#!/bin/sh\n. '%s'\nexec %srabbitmqctl \"$@\"\n", filepath.Join(c.NodeDir(last), "env.sh"), within)
	errs = append(errs, os.WriteFile(c.Ctl(), []byte(ctl), 0o700))
	return errors.Join(errs...)
}

// CookieFile is the file that holds the Erlang cookie of all nodes.
func (c *Cluster) CookieFile() string { return filepath.Join(c.Dir, ".erlang.cookie") }

// Ctl is a program that runs rabbitmqctl for the Linux node of the cluster.
func (c *Cluster) Ctl() string { return filepath.Join(c.Dir, "ctl") }

// shell is what a shell reads to run RabbitMQ's scripts for a node.
func (c *Cluster) shell(n *Node) string {
	var b strings.Builder
	for _, pair := range append(c.Environment(n), "RABBITMQ_BIN="+c.Scripts) {
		key, value, _ := strings.Cut(pair, "=")
		if key == "PATH" {
			value = c.Scripts + ":" + value
		}
		fmt.Fprintf(&b, "export %s='%s'\n", key, value)
	}
	return b.String()
}

// NodeDir is the folder of a node's files and data.
func (c *Cluster) NodeDir(n *Node) string { return filepath.Join(c.Dir, n.Name) }

func (c *Cluster) writeNode(n *Node) error {
	dir := c.NodeDir(n)
	return errors.Join(
		os.MkdirAll(dir, 0o700),
		os.WriteFile(filepath.Join(dir, "env.sh"), []byte(c.shell(n)), 0o600),
		os.WriteFile(filepath.Join(dir, "rabbitmq.conf"), []byte(c.conf(n)), 0o600),
		os.WriteFile(filepath.Join(dir, "plugins"), []byte("["+strings.Join(c.Plugins, ",")+"].\n"), 0o600),
	)
}

// conf is a node's rabbitmq.conf. Only the seed, the first node, starts a cluster
// of its own; the others know it and join.
func (c *Cluster) conf(n *Node) string {
	lines := map[string]string{
		"listeners.tcp.1":                   net.JoinHostPort(n.IP, strconv.Itoa(n.AMQP)),
		"management.tcp.ip":                 n.IP,
		"management.tcp.port":               strconv.Itoa(n.HTTP),
		"log.file":                          "false",
		"log.console":                       "true",
		"log.console.level":                 "warning",
		"disk_free_limit.absolute":          "50MB",
		"cluster_partition_handling":        "pause_minority",
		"loopback_users.guest":              "false", // its addresses may be those of a namespace
		"collect_statistics_interval":       "2000",
		"vm_memory_high_watermark.absolute": "1GB",
	}
	if !c.Alone {
		c.formation(lines)
	}
	for key, value := range c.Conf {
		lines[key] = value
	}
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintf(&text, "%s = %s\n", key, lines[key])
	}
	return text.String()
}

func (c *Cluster) formation(lines map[string]string) {
	lines["cluster_formation.peer_discovery_backend"] = "classic_config"
	lines["cluster_formation.randomized_startup_delay_range.min"] = "0"
	lines["cluster_formation.randomized_startup_delay_range.max"] = "1"
	for i, other := range c.Nodes {
		lines[fmt.Sprintf("cluster_formation.classic_config.nodes.%d", i+1)] = other.Erlang
	}
}

// Command prepares a call of one of RabbitMQ's scripts for a node, with nothing of
// the caller's environment but the PATH.
func (c *Cluster) Command(n *Node, script string, args ...string) *exec.Cmd {
	call := append([]string{filepath.Join(c.Scripts, script)}, args...)
	if n.Space != "" {
		call = append([]string{"ip", "netns", "exec", n.Space}, call...)
	}
	cmd := exec.Command(call[0], call[1:]...)
	cmd.Dir = c.NodeDir(n)
	cmd.Env = c.Environment(n)
	return cmd
}

// Environment is what RabbitMQ's scripts need to find a node and nothing else.
func (c *Cluster) Environment(n *Node) []string {
	dir := c.NodeDir(n)
	interfaces := "-kernel inet_dist_use_interface {" + strings.ReplaceAll(n.IP, ".", ",") + "}"
	// Schedulers of many nodes on few processors must not wait busily.
	const idle = " +sbwt none +sbwtdcpu none +sbwtdio none"
	env := []string{
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG=C.UTF-8",
		"HOME=" + c.Dir,
		"ERL_EPMD_PORT=" + strconv.Itoa(c.EPMD),
		"ERL_EPMD_ADDRESS=" + n.IP,
		"ERL_CRASH_DUMP_SECONDS=0",
		"RABBITMQ_NODENAME=" + n.Erlang,
		"RABBITMQ_MNESIA_BASE=" + filepath.Join(dir, "mnesia"),
		"RABBITMQ_LOG_BASE=" + filepath.Join(dir, "log"),
		"RABBITMQ_NODE_PORT=" + strconv.Itoa(n.AMQP),
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(n.Dist),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(dir, "plugins"),
		"RABBITMQ_PID_FILE=" + filepath.Join(dir, "pid"),
		"RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "rabbitmq"),
		"RABBITMQ_CONF_ENV_FILE=" + filepath.Join(dir, "none"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=" + interfaces + idle,
		"RABBITMQ_CTL_ERL_ARGS=" + interfaces,
		"RUNNING_UNDER_SYSTEMD=true", // the script becomes the server: one pid for both
	}
	if _, host, _ := strings.Cut(n.Erlang, "@"); strings.Contains(host, ".") {
		env = append(env, "RABBITMQ_USE_LONGNAME=true")
	}
	return env
}

// Mapper prepares the port mapper (epmd) that a node asks, in the foreground, so
// that no node starts one that outlives it. Nodes on one address share it.
func (c *Cluster) Mapper(n *Node) (*exec.Cmd, error) {
	program, err := exec.LookPath("epmd")
	if err != nil {
		return nil, fmt.Errorf("epmd, which comes with Erlang: %w", err)
	}
	call := []string{program, "-port", strconv.Itoa(c.EPMD), "-address", n.IP}
	if n.Space != "" {
		call = append([]string{"ip", "netns", "exec", n.Space}, call...)
	}
	return exec.Command(call[0], call[1:]...), nil
}
