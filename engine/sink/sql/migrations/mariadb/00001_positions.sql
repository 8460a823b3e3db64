-- +goose Up
CREATE TABLE IF NOT EXISTS millrace_positions (
  pipeline   VARCHAR(64) NOT NULL,
  generation VARCHAR(64) NOT NULL,
  sink       VARCHAR(64) NOT NULL,
  stream     VARCHAR(64) NOT NULL,
  lane       SMALLINT UNSIGNED NOT NULL,
  epoch      BIGINT UNSIGNED NOT NULL,
  ms         BIGINT UNSIGNED NOT NULL,
  seq        BIGINT UNSIGNED NOT NULL,
  owner      CHAR(32) NOT NULL,
  PRIMARY KEY (pipeline, generation, sink, stream, lane)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- +goose Down
DROP TABLE millrace_positions;
