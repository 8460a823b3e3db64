// Package catalog lists the node types that the engine has built in, for the
// pipeline reader and the schema. It builds no node and opens nothing.
package catalog

import (
	amqpsink "github.com/millrace/millrace/engine/sink/amqp"
	"github.com/millrace/millrace/engine/sink/chart"
	filesink "github.com/millrace/millrace/engine/sink/file"
	mqttsink "github.com/millrace/millrace/engine/sink/mqtt"
	sqlsink "github.com/millrace/millrace/engine/sink/sql"
	stocksink "github.com/millrace/millrace/engine/sink/stock"
	"github.com/millrace/millrace/engine/source/amqp"
	"github.com/millrace/millrace/engine/source/mqtt"
	"github.com/millrace/millrace/engine/source/stock"
	"github.com/millrace/millrace/engine/spec"
	csvtransform "github.com/millrace/millrace/engine/transform/csv"
	exprtransform "github.com/millrace/millrace/engine/transform/expr"
	jsontransform "github.com/millrace/millrace/engine/transform/json"
	selecttransform "github.com/millrace/millrace/engine/transform/selectx"
)

// Builtin returns the built-in node types.
func Builtin() *spec.Catalog {
	return spec.NewCatalog(
		amqp.Type, mqtt.Type, stock.RedisType,
		jsontransform.Type, csvtransform.Type, exprtransform.Type, selecttransform.Type,
		sqlsink.Type, filesink.Type, chart.Type, amqpsink.Type, mqttsink.Type, stocksink.RedisType,
	)
}
