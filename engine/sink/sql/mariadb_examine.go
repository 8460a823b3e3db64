package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"gorm.io/gorm"
)

// inspect: connecting changes nothing.
func (d mariadb) inspect(c *Config, x *Examination) (opener, error) {
	cfg, err := c.driverConfig()
	if err != nil {
		return nil, err
	}
	x.Product, x.Address = "MariaDB", cfg.Addr+"/"+cfg.DBName
	return func(ctx context.Context) (*gorm.DB, *sql.DB, error) { return d.open(ctx, c) }, nil
}

func (mariadb) identify(_ context.Context, db *gorm.DB, x *Examination) error {
	var row struct {
		Version string
		Packet  int64
	}
	if err := db.Raw("SELECT @@version AS version, @@max_allowed_packet AS packet").Scan(&row).Error; err != nil {
		return err
	}
	x.Version, x.MaxPacket = row.Version, row.Packet
	before := time.Now() // on a connection that is there: this is one round trip
	var theirs time.Time
	if err := db.Raw("SELECT UTC_TIMESTAMP(3)").Row().Scan(&theirs); err != nil {
		return err
	}
	x.ClockError = time.Since(before) / 2
	x.Clock = theirs.Sub(before.Add(x.ClockError))
	return nil
}

// Privileges that a table needs which is still to be created.
var creatorRights = []string{"SELECT", "INSERT", "UPDATE", "CREATE"}

func (d mariadb) rights(_ context.Context, db *gorm.DB, statements []string, x *Examination) error {
	var found []string
	for _, statement := range statements {
		err := db.Exec("EXPLAIN " + statement).Error
		if d.fault(err) == faultAuth {
			found = append(found, refusal(err))
		} else if err != nil {
			return err
		}
	}
	granted, err := d.granted(db)
	if err != nil {
		return err
	}
	for _, table := range x.Creates {
		if missing := granted.missing(table); len(missing) > 0 {
			found = append(found, fmt.Sprintf("%s is to be created, which needs %s", table, strings.Join(missing, ", ")))
		}
	}
	if len(found) == 0 {
		return nil
	}
	needs := creatorRights
	if len(x.Creates) == 0 {
		needs = needs[:3]
	}
	mend := fmt.Sprintf("GRANT %s ON %s.* TO %s;", strings.Join(needs, ", "), d.quote(granted.database), granted.user)
	for _, text := range found {
		x.Rights = append(x.Rights, Problem{text, mend})
	}
	return nil
}

// refusal leaves numbers out that say nothing to people.
func refusal(err error) string {
	if e, ok := errors.AsType[*mysqldriver.MySQLError](err); ok {
		return e.Message
	}
	return err.Error()
}

// grants is what the server says of a user's rights, roles included.
type grants struct {
	user, database string
	lines          []grantLine
}

// grantLine is one GRANT: privileges on a database, "*" for all, and a table, "*" for all.
type grantLine struct {
	privileges      []string
	database, table string
}

var grantForm = regexp.MustCompile("^GRANT (.+?) ON (?:TABLE )?(`(?:[^`]|``)+`|\\*)\\.(`(?:[^`]|``)+`|\\*) TO ")

// granted reads the rights that count here. The server's own text also holds the
// hash of the password: nothing of it is kept but the parts.
func (mariadb) granted(db *gorm.DB) (*grants, error) {
	g := &grants{}
	if err := db.Raw("SELECT CURRENT_USER(), DATABASE()").Row().Scan(&g.user, &g.database); err != nil {
		return nil, err
	}
	if at := strings.LastIndexByte(g.user, '@'); at >= 0 {
		g.user = "'" + g.user[:at] + "'@'" + g.user[at+1:] + "'"
	}
	var lines []string
	if err := db.Raw("SHOW GRANTS").Scan(&lines).Error; err != nil {
		return nil, err
	}
	for _, line := range lines {
		m := grantForm.FindStringSubmatch(line)
		if m == nil {
			continue // a role, or rights on a routine
		}
		l := grantLine{strings.Split(m[1], ", "), unquote(m[2]), unquote(m[3])}
		here := l.database == "*"
		if !here {
			if err := db.Raw("SELECT DATABASE() LIKE ?", l.database).Row().Scan(&here); err != nil {
				return nil, err
			}
		}
		if here {
			g.lines = append(g.lines, l)
		}
	}
	return g, nil
}

func unquote(name string) string {
	return strings.ReplaceAll(strings.Trim(name, "`"), "``", "`")
}

// missing returns the rights that creating and using table lacks.
func (g *grants) missing(table string) []string {
	return slices.DeleteFunc(slices.Clone(creatorRights), func(right string) bool {
		return slices.ContainsFunc(g.lines, func(l grantLine) bool {
			return (l.table == "*" || strings.EqualFold(l.table, table)) &&
				(slices.Contains(l.privileges, right) || slices.Contains(l.privileges, "ALL PRIVILEGES"))
		})
	})
}
