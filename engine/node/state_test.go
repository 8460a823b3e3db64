package node_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

func TestStoredStateCarriesItsVersion(t *testing.T) {
	for _, version := range []string{"1", "", "2026-07/a"} {
		for _, value := range [][]byte{{}, []byte("v"), bytes.Repeat([]byte{1, 0}, 300)} {
			got, back, err := node.UnpackState(node.PackState(version, value))
			if err != nil || got != version || !bytes.Equal(back, value) {
				t.Errorf("%q %q came back as %q %q, %v", version, value, got, back, err)
			}
		}
	}
}

func FuzzUnpackState(f *testing.F) {
	for _, stored := range [][]byte{nil, {1}, {2, 0}, {1, 5, 'a'}, {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, node.PackState("1", []byte("v"))} {
		f.Add(stored)
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		version, value, err := node.UnpackState(stored)
		if err != nil {
			if !errors.Is(err, event.ErrFormat) {
				t.Fatalf("error %v is no ErrFormat", err)
			}
			return
		}
		if again := node.PackState(version, value); len(again) <= len(stored) && !bytes.HasSuffix(stored, value) {
			t.Fatalf("%x gives %q %x", stored, version, value)
		}
	})
}

func TestKeysAreThoseOfTheEventsOnce(t *testing.T) {
	events := []*event.Event{{Key: "b"}, {Key: "a"}, {Key: "b"}, {}}
	if got := node.Keys(events); !slices.Equal(got, []string{"b", "a", ""}) {
		t.Errorf("keys %q", got)
	}
}
