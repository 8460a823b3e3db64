-- +goose Up
CREATE TABLE IF NOT EXISTS millrace_positions (
  pipeline   TEXT NOT NULL,
  generation TEXT NOT NULL,
  sink       TEXT NOT NULL,
  stream     TEXT NOT NULL,
  lane       INTEGER NOT NULL,
  epoch      INTEGER NOT NULL,
  ms         INTEGER NOT NULL,
  seq        INTEGER NOT NULL,
  owner      TEXT NOT NULL,
  PRIMARY KEY (pipeline, generation, sink, stream, lane)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE millrace_positions;
