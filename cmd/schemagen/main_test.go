package main

import (
	"bytes"
	"os"
	"testing"
)

func TestCommittedSchemasAreTheGeneratedOnes(t *testing.T) {
	for file, make := range schemas {
		want, err := make()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is old; write it again with: go tool task generate", file)
		}
	}
}
