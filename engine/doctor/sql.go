package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	sqlsink "github.com/millrace/millrace/engine/sink/sql"
)

func (c *checker) sql(ctx context.Context) []Finding {
	return slices.Concat(atOnce(c.connections("sql"), func(name string) []Finding { return c.store(ctx, name) })...)
}

// rows is what was found out for one sql sink.
type rows struct {
	id, table string
	x         *sqlsink.Examination
	err       error
}

// store looks at one database, for each sink that writes to it.
func (c *checker) store(ctx context.Context, name string) []Finding {
	a := about{component: "sql " + name}
	conn := c.Pipeline.Connections[name]
	if conn.Embedded() {
		return embedded(a.component)
	}
	var sinks []sqlsink.Config
	for id, o := range optionsOf[*sqlsink.Options](c.Pipeline) {
		if o.Connection == name {
			sinks = append(sinks, sqlsink.Config{DSN: conn.Address(), Pipeline: c.Pipeline.Name, Node: id, Options: *o})
		}
	}
	if len(sinks) == 0 {
		a.add(Info, "no sink uses it")
		return a.findings
	}
	slices.SortFunc(sinks, func(a, b sqlsink.Config) int { return cmp.Compare(a.Node, b.Node) })
	found := atOnce(sinks, func(cfg sqlsink.Config) rows {
		ctx, done := c.patience(ctx)
		defer done()
		x, err := sqlsink.Examine(ctx, cfg)
		return rows{cfg.Node, cfg.Options.Table, x, err}
	})
	a.store(found)
	return a.findings
}

// store tells of the database once, then of each sink's table.
func (a *about) store(found []rows) {
	for _, r := range found {
		if r.err == nil {
			a.database(r.x)
			break
		}
	}
	said := map[string]bool{} // sinks of one database mostly fail alike
	for _, r := range found {
		if r.err == nil {
			a.findings = append(a.findings, r.tell()...)
		} else if text := r.err.Error(); !said[text] {
			said[text] = true
			a.answered(r.err, fmt.Sprintf("connections.%s.sql.dsn: USER:PASSWORD@tcp(HOST:PORT)/DATABASE", a.name()))
		}
	}
}

// minPacket is what one row with its statement may need.
const minPacket = 1 << 20

func (a *about) database(x *sqlsink.Examination) {
	if x.File != "" {
		a.databaseFile(x)
		return
	}
	a.add(OK, fmt.Sprintf("%s: %s, max_allowed_packet %s", x.Address, x.Version, size(x.MaxPacket)))
	if older(x.Version, 10, 6) {
		a.add(Warning, fmt.Sprintf("version %s is older than MariaDB 10.6, the oldest that is tested", x.Version), "apt-get install mariadb-server  # 10.6 or later")
	}
	if x.MaxPacket < minPacket {
		a.add(Warning, fmt.Sprintf("max_allowed_packet is %s: a larger row becomes a dead letter", size(x.MaxPacket)),
			"SET GLOBAL max_allowed_packet = 16777216;", "my.cnf: max_allowed_packet = 16M")
	}
	a.clock(x.Clock, x.ClockError)
}

// older reports whether a version such as 10.5.8-MariaDB is below major.minor.
func older(version string, major, minor int) bool {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	m, err1 := strconv.Atoi(first)
	n, err2 := strconv.Atoi(second)
	return errors.Join(err1, err2) == nil && (m < major || m == major && n < minor)
}

func (a *about) databaseFile(x *sqlsink.Examination) {
	dir := filepath.Dir(x.File)
	if err := writable(dir); err != nil {
		a.add(Problem, fmt.Sprintf("folder %s: %v", dir, err), makeFolder(dir))
		return
	}
	if x.NewFile {
		a.add(Info, fmt.Sprintf("SQLite file %s is not there yet: the first start makes it", x.File))
		return
	}
	if err := writableFile(x.File); err != nil {
		a.add(Problem, fmt.Sprintf("SQLite file %s: %v", x.File, err), "chmod u+w "+shell(x.File))
		return
	}
	a.add(OK, fmt.Sprintf("SQLite %s, file %s", x.Version, x.File))
}

// tell says whether the sink's table takes its rows.
func (r rows) tell() []Finding {
	a := about{component: "sink " + r.id}
	for _, p := range r.x.Problems {
		a.add(Problem, p.Found, p.Mend)
	}
	for _, p := range r.x.Rights {
		a.add(Problem, p.Found, p.Mend)
	}
	if a.findings == nil && !slices.Contains(r.x.Creates, r.table) {
		a.add(OK, fmt.Sprintf("table %s fits", r.table))
	}
	if len(r.x.Creates) > 0 {
		a.add(Info, "the first start creates "+strings.Join(r.x.Creates, ", "))
	}
	return a.findings
}
