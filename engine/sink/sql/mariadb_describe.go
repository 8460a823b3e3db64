package sqlsink

import (
	"context"
	"strings"

	"gorm.io/gorm"
)

// Every read of information_schema is by the connection's own database.
const (
	tableQuery = `SELECT TABLE_TYPE AS kind, COALESCE(ENGINE, '') AS engine FROM information_schema.TABLES
		WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?`
	columnQuery = `SELECT COLUMN_NAME AS name, COLUMN_TYPE AS type, IS_NULLABLE = 'YES' AS nullable,
		COLUMN_DEFAULT IS NOT NULL OR EXTRA LIKE '%auto_increment%' AS optional,
		COALESCE(GENERATION_EXPRESSION, '') <> '' AS generated
		FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION`
	keyQuery = `SELECT INDEX_NAME AS name, COLUMN_NAME AS field FROM information_schema.STATISTICS
		WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX`
)

func (mariadb) describe(ctx context.Context, db *gorm.DB, table string) (*tableInfo, error) {
	db = db.WithContext(ctx)
	var tables []struct{ Kind, Engine string }
	if err := db.Raw(tableQuery, table).Scan(&tables).Error; err != nil || len(tables) == 0 {
		return nil, err
	}
	info := &tableInfo{name: table}
	switch {
	case tables[0].Kind != "BASE TABLE":
		info.unfit = "it is a " + strings.ToLower(tables[0].Kind)
	case !strings.EqualFold(tables[0].Engine, "InnoDB"):
		info.unfit = "its engine is " + tables[0].Engine + ", which cannot roll back: ALTER TABLE ... ENGINE=InnoDB"
	}
	if err := mariadbColumns(db, table, info); err != nil {
		return nil, err
	}
	return info, mariadbKeys(db, table, info)
}

func mariadbColumns(db *gorm.DB, table string, info *tableInfo) error {
	var rows []struct {
		Name, Type                    string
		Nullable, Optional, Generated bool
	}
	if err := db.Raw(columnQuery, table).Scan(&rows).Error; err != nil {
		return err
	}
	for _, r := range rows {
		if r.Type == "datetime" || r.Type == "timestamp" {
			r.Type += "(0)"
		}
		t, err := readType(r.Type)
		if err != nil {
			t = colType{text: r.Type}
		}
		info.columns = append(info.columns, columnInfo{
			name: r.Name, typ: t, nullable: r.Nullable, generated: r.Generated,
			optional: r.Optional || r.Nullable || r.Generated,
		})
	}
	return nil
}

func mariadbKeys(db *gorm.DB, table string, info *tableInfo) error {
	var keys []struct{ Name, Field string }
	if err := db.Raw(keyQuery, table).Scan(&keys).Error; err != nil {
		return err
	}
	for _, k := range keys {
		if k.Name == "PRIMARY" {
			info.primaryKey = append(info.primaryKey, k.Field)
		} else {
			info.otherKeys = true
		}
	}
	return nil
}
