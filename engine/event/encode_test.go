package event

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

// TestEncodeOfStringsInSharedMemory: strings that begin at one place and differ in
// length, and equal strings at different places, are told apart by their text.
func TestEncodeOfStringsInSharedMemory(t *testing.T) {
	memory := strings.Repeat("abcdefgh", 64)
	shared, apart := &Frame{}, &Frame{}
	for i := range 400 {
		start := i * 7 % 500
		key := memory[start : start+i%11]
		shared.Events = append(shared.Events, &Event{RootID: "r", Key: key, Source: Source{MessageID: "r"}})
		apart.Events = append(apart.Events, &Event{RootID: "r", Key: strings.Clone(key), Source: Source{MessageID: "r"}})
	}
	one, err := shared.Encode(nil, None)
	if err != nil {
		t.Fatal(err)
	}
	two, err := apart.Encode(nil, None)
	if err != nil || !bytes.Equal(one, two) {
		t.Fatalf("where strings lie changes the encoding (error %v)", err)
	}
	got, err := DecodeFrame(one)
	if err != nil || !reflect.DeepEqual(got.Events, shared.Events) {
		t.Fatalf("decoded events differ (error %v)", err)
	}
	again, err := got.Encode(nil, None)
	if err != nil || !bytes.Equal(again, one) {
		t.Fatalf("encoding again gives other bytes (error %v)", err)
	}
}
