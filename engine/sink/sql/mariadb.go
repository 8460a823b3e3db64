package sqlsink

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

//go:embed migrations
var migrationFiles embed.FS

// mariadb is the dialect of MariaDB 10.6 and later.
type mariadb struct{}

func (mariadb) open(_ context.Context, c *Config) (*gorm.DB, *sql.DB, error) {
	cfg, err := c.driverConfig()
	if err != nil {
		return nil, nil, err
	}
	connector, err := mysqldriver.NewConnector(cfg)
	if err != nil {
		return nil, nil, errBadDSN
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(maxConnections)
	pool.SetMaxIdleConns(maxConnections)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	db, err := gorm.Open(mysql.New(mysql.Config{Conn: pool, SkipInitializeWithVersion: true}), gormConfig())
	if err != nil {
		return nil, nil, errors.Join(err, pool.Close())
	}
	return db, pool, nil
}

// maxConnections bounds the pool: one per lane that writes at a time.
const maxConnections = 64

// gormConfig keeps GORM to what the sink uses: transactions and raw statements.
// Nothing is prepared: with interpolated arguments a statement is one round trip,
// and the big inserts never repeat.
func gormConfig() *gorm.Config {
	return &gorm.Config{
		SkipDefaultTransaction: true,
		DisableAutomaticPing:   true,
		PrepareStmt:            false,
		Logger:                 logger.Discard, // statements hold plant data
	}
}

var errBadDSN = errors.New("dsn: want user:password@tcp(host:port)/database or sqlite:PATH")

// driverConfig reads the DSN and sets what every session needs.
func (c *Config) driverConfig() (*mysqldriver.Config, error) {
	cfg, err := mysqldriver.ParseDSN(c.DSN.Reveal())
	if err != nil || cfg.DBName == "" || cfg.Apply(mysqldriver.Charset("utf8mb4", "utf8mb4_bin")) != nil {
		return nil, errBadDSN // the parser's own words may quote the password
	}
	cfg.InterpolateParams = true
	cfg.ClientFoundRows = true
	cfg.MultiStatements = false
	cfg.ParseTime = true
	cfg.Loc = time.UTC
	cfg.Logger = driverLog{c.Logger}
	setDefault(&cfg.Timeout, 5*time.Second)
	setDefault(&cfg.ReadTimeout, 30*time.Second)
	setDefault(&cfg.WriteTimeout, 30*time.Second)
	if cfg.Params == nil {
		cfg.Params = map[string]string{}
	}
	seconds := strconv.Itoa(int(c.idleLimit() / time.Second))
	for name, value := range map[string]string{
		"sql_mode":                       "'STRICT_ALL_TABLES,STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
		"tx_isolation":                   "'READ-COMMITTED'",
		"time_zone":                      "'+00:00'",
		"innodb_lock_wait_timeout":       "5",
		"lock_wait_timeout":              "5",
		"idle_write_transaction_timeout": seconds,
		"idle_transaction_timeout":       seconds,
		"net_read_timeout":               seconds,
		"autocommit":                     "1",
	} {
		cfg.Params[name] = value
	}
	return cfg, nil
}

func setDefault(d *time.Duration, to time.Duration) {
	if *d == 0 {
		*d = to
	}
}

func (mariadb) migrations(db *sql.DB) (goose.Dialect, fs.FS, []goose.ProviderOption) {
	files, _ := fs.Sub(migrationFiles, "migrations/mariadb") // the path is compiled in
	return goose.DialectMySQL, files, []goose.ProviderOption{goose.WithSessionLocker(namedLock{})}
}

// namedLock makes engines that start at once migrate one after another. The
// server frees it when the session ends.
type namedLock struct{}

// The name is per server, so it carries the database's.
const lockName = "CONCAT('millrace:', LEFT(MD5(DATABASE()), 32))"

// SessionLock waits up to 20 s for the lock.
func (namedLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	var got sql.NullInt64
	err := conn.QueryRowContext(ctx, "SELECT GET_LOCK("+lockName+", 20)").Scan(&got)
	if err == nil && got.Int64 != 1 {
		err = errLockBusy
	}
	return err
}

// SessionUnlock frees the lock.
func (namedLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "DO RELEASE_LOCK("+lockName+")")
	return err
}

var errLockBusy = errors.New("another engine is migrating the engine's tables")

func (mariadb) maxStatement(ctx context.Context, db *gorm.DB) (int, error) {
	var packet int64
	err := db.WithContext(ctx).Raw("SELECT @@max_allowed_packet").Scan(&packet).Error
	return int(max(packet-1024, 1024)), err
}

func (mariadb) quote(name string) string {
	return "`" + strings.ReplaceAll(name, "`", "``") + "`"
}

// conflict: ON DUPLICATE KEY UPDATE acts on any unique key. Where the table has
// others than event_id, a row that collides there must not vanish: setting the id
// to NULL makes the server refuse it. With overwrite that always stands first, or
// a key that was added under the running sink would let one event's values into
// another's row.
func (d mariadb) conflict(otherKeys bool, overwrite []string) string {
	tail := " ON DUPLICATE KEY UPDATE `event_id` = `event_id`"
	if otherKeys || len(overwrite) > 0 {
		tail = " ON DUPLICATE KEY UPDATE `event_id` = IF(`event_id` = VALUES(`event_id`), `event_id`, NULL)"
	}
	for _, name := range overwrite {
		tail += ", " + d.quote(name) + " = VALUES(" + d.quote(name) + ")"
	}
	return tail
}

// plainText reports whether s can stand between single quotes in every sql_mode.
func plainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c == '\'' || c == '\\' || c < 0x20 || c == 0x7f {
			return false
		}
	}
	return true
}

func (mariadb) appendText(dst []byte, s string) []byte {
	if plainText(s) {
		return append(append(append(dst, '\''), s...), '\'')
	}
	return appendHex(append(dst, "_utf8mb4 "...), s)
}

func (mariadb) appendDecimal(dst []byte, plain string) []byte { return append(dst, plain...) }

// appendFloat writes the shortest digits that give f again. The exponent makes the
// literal a DOUBLE, so that no DECIMAL stands between.
func (mariadb) appendFloat(dst []byte, args []any, f float64) ([]byte, []any) {
	return strconv.AppendFloat(dst, f, 'e', -1, 64), args
}

func (mariadb) number(u uint64) any { return u }

func isBadConn(err error) bool {
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysqldriver.ErrInvalidConn) ||
		errors.Is(err, mysqldriver.ErrMalformPkt) || errors.Is(err, mysqldriver.ErrPktSync)
}

func (mariadb) fault(err error) fault {
	if answer, ok := errors.AsType[*mysqldriver.MySQLError](err); ok {
		return mariadbFaults[answer.Number]
	}
	if errors.Is(err, mysqldriver.ErrPktTooLarge) {
		return faultData
	}
	return networkFault(err)
}

// mariadbFaults classifies the server's error numbers (MariaDB Server error code
// reference); a number that is not listed is unknown.
var mariadbFaults = faultTable(mariadbNumbers)

var mariadbNumbers = map[fault][]uint16{
	faultAway: {
		1205, 1213, 1020, 1206, 1412, 1615, // lock wait, deadlock, changed under way
		1040, 1203, 1226, 1041, 1037, 1038, // too many connections, out of memory
		1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1184, 1317, 1927, 1969, 4031, // going down, killed, cut off
		1290, 1792, 1836, 1047, // read-only, cluster node not ready
		1021, 1114, 1028, 1030, 1180, 1026, // disk or table full, storage engine
		1129, 2002, 2003, 2006, 2013, 2055,
	},
	faultData: {
		1264, 1265, 1366, 1406, 1292, 1048, 1062, 1263, 1300, 1367, 1411, 1416, 1441, 1118, 1153,
		1216, 1452, 1526, 1644, 1690, 1761, 1762, 3140, 3819, 4025, 4038, 4161,
	},
	faultDrift: {1049, 1051, 1054, 1136, 1146, 1364, 1347, 1356, 1906},
	faultAuth:  {1044, 1045, 1130, 1131, 1142, 1143, 1227, 1251, 1524, 1698, 1820, 1862, 4151},
	faultSetup: {1193, 1231, 1665, 1286, 1115, 1273, 1101},
}

func faultTable(by map[fault][]uint16) map[uint16]fault {
	table := map[uint16]fault{}
	for f, numbers := range by {
		for _, n := range numbers {
			table[n] = f
		}
	}
	return table
}

// createTable: utf8mb4_bin, so that keys that differ in case stay two keys.
func (d mariadb) createTable(table string, columns []target) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s (\n  %s BINARY(16) NOT NULL", d.quote(table), d.quote(IDColumn))
	for _, c := range columns {
		fmt.Fprintf(&b, ",\n  %s %s%s", d.quote(c.name), d.typeDDL(c.typ), nullDDL(c.nullable))
	}
	fmt.Fprintf(&b, ",\n  PRIMARY KEY (%s)\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin", d.quote(IDColumn))
	return b.String()
}

func nullDDL(nullable bool) string {
	if nullable {
		return " NULL"
	}
	return " NOT NULL"
}

func (mariadb) typeDDL(t colType) string {
	switch {
	case t.family == famText && t.bytes == blobSize[""]:
		return "TEXT"
	case t.family == famText && t.size < 1<<20 && !t.fixed:
		return fmt.Sprintf("VARCHAR(%d)", t.size)
	case t.family == famBinary && t.size == blobSize["long"]:
		return "LONGBLOB"
	case t.family == famDecimal:
		return fmt.Sprintf("DECIMAL(%d,%d)%s", t.prec, t.scale, unsignedDDL(t))
	case t.family == famTime && t.fixed:
		return fmt.Sprintf("TIMESTAMP(%d)", t.scale)
	case t.family == famTime:
		return fmt.Sprintf("DATETIME(%d)", t.scale)
	case t.family == famJSON:
		return "JSON"
	case t.family == famBool:
		return "BOOLEAN"
	}
	return strings.ToUpper(t.text)
}

func unsignedDDL(t colType) string {
	if t.unsigned {
		return " UNSIGNED"
	}
	return ""
}
