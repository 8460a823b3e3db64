package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/millrace/millrace/engine/catalog"
)

func TestCommittedSchemaIsTheGeneratedOne(t *testing.T) {
	want, err := generate(catalog.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../" + defaultFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("schemas/pipeline.schema.json is old; write it again with: go tool task generate")
	}
}
