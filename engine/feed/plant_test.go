package feed

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/node"
)

func load(t *testing.T, name string) *Plant {
	t.Helper()
	p, err := LoadPlant(name)
	if err != nil {
		t.Fatalf("LoadPlant: %v", err)
	}
	return p
}

// first returns the messages of a replay's first step.
func first(t *testing.T, p *Plant) []node.Message {
	t.Helper()
	messages, records, err := p.Replay(ReplayOptions{Run: "r"}).Next(time.Now())
	if err != nil || len(messages) == 0 || records == 0 {
		t.Fatalf("Next = %d messages, %d records, %v", len(messages), records, err)
	}
	return messages
}

func TestPlantsSendWhatTheirQueuesCarry(t *testing.T) {
	tests := []struct{ plant, contentType, exchange, key, id, body string }{
		{"plant1", "application/json", "", "master.plant1", "plant1-r-000001",
			`{"id":"plant1-r-000001","device":"machine-1","metric":"temperature","ts":"2013-12-02T21:15:00.000Z","value":73.96732207,"unit":"F"}`},
		{"plant2", "text/csv", "", "master.plant2", "plant2-r-000001",
			"furnace-1,energy,2018-01-01T00:15:00.000Z,3.17,kWh\nfurnace-1,reactive_power,2018-01-01T00:15:00.000Z,2.95,kVarh\nfurnace-1,power_factor,2018-01-01T00:15:00.000Z,73.21,%\n"},
		{"plant3", "", "amq.topic", "plant3.office-1.temperature", "",
			`{"ts":"2015-02-04T17:51:00.000Z","value":23.18,"unit":"C"}`},
		{"plant4", "application/json", "", "master.plant4", "plant4-r-000001",
			`[{"id":"plant4-r-000001.0","device":"dongsi","metric":"temperature","ts":1362096000000,"value":-0.5,"unit":"C"},` +
				`{"id":"plant4-r-000001.1","device":"dongsi","metric":"pm25","ts":1362096000000,"value":9,"unit":"ug/m3"},` +
				`{"id":"plant4-r-000001.2","device":"dongsi","metric":"no2","ts":1362096000000,"value":17,"unit":"ug/m3"},` +
				`{"id":"plant4-r-000001.3","device":"dongsi","metric":"o3","ts":1362096000000,"value":89,"unit":"ug/m3"},` +
				`{"id":"plant4-r-000001.4","device":"dongsi","metric":"co","ts":1362096000000,"value":300,"unit":"ug/m3"},` +
				`{"id":"plant4-r-000001.5","device":"dongsi","metric":"pressure","ts":1362096000000,"value":1024.5,"unit":"hPa"},` +
				`{"id":"plant4-r-000001.6","device":"dongsi","metric":"wind_speed","ts":1362096000000,"value":5.7,"unit":"m/s"}]`},
	}
	for _, tt := range tests {
		t.Run(tt.plant, func(t *testing.T) {
			m := first(t, load(t, tt.plant))[0]
			if string(m.Body) != tt.body {
				t.Errorf("body\n%s\nwant\n%s", m.Body, tt.body)
			}
			if m.ContentType != tt.contentType || m.Exchange != tt.exchange || m.RoutingKey != tt.key || m.MessageID != tt.id {
				t.Errorf("message %+v", m)
			}
			if m.Queue != "master."+tt.plant {
				t.Errorf("queue %q", m.Queue)
			}
		})
	}
}

// TestEveryMessageOfEveryPlantIsWellFormed replays all data twice over.
func TestEveryMessageOfEveryPlantIsWellFormed(t *testing.T) {
	for _, name := range PlantNames() {
		p := load(t, name)
		r := p.Replay(ReplayOptions{Loop: true})
		seen := map[string]bool{}
		for range 2 * p.Rows() {
			messages, _, err := r.Next(time.Now())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, m := range messages {
				identity := m.MessageID
				if name == "plant3" {
					identity = m.RoutingKey + string(m.Body[:40])
				}
				if seen[identity] {
					t.Fatalf("%s: identity %s twice", name, identity)
				}
				seen[identity] = true
				checkBody(t, m)
			}
		}
	}
}

func checkBody(t *testing.T, m node.Message) {
	t.Helper()
	if m.ContentType == "text/csv" {
		rows, err := csv.NewReader(strings.NewReader(string(m.Body))).ReadAll()
		if err != nil || len(rows) == 0 || len(rows[0]) != 5 {
			t.Fatalf("body %q: %v", m.Body, err)
		}
		return
	}
	if !json.Valid(m.Body) {
		t.Fatalf("body %q is not JSON", m.Body)
	}
}

func TestReplayEndsOrGoesRound(t *testing.T) {
	p := load(t, "plant2")
	once := p.Replay(ReplayOptions{})
	steps, records := 0, 0
	for {
		_, n, err := once.Next(time.Now())
		if errors.Is(err, io.EOF) {
			break
		}
		steps++
		records += n
	}
	if steps != p.Rows() || records != once.Total() || steps != 3000 {
		t.Errorf("%d steps of %d rows, %d records of %d", steps, p.Rows(), records, once.Total())
	}
	round := p.Replay(ReplayOptions{Loop: true})
	var last time.Time
	for i := range p.Rows() + 1 {
		messages, _, err := round.Next(time.Now())
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if i == p.Rows() && !messages[0].Timestamp.After(last) {
			t.Errorf("the second replay begins at %v, the first ends at %v", messages[0].Timestamp, last)
		}
		last = messages[0].Timestamp
	}
	if round.Total() != -1 {
		t.Errorf("Total of a loop = %d", round.Total())
	}
}

func TestTimesOfSendingRise(t *testing.T) {
	r := load(t, "plant1").Replay(ReplayOptions{Times: Now})
	now := time.Date(2026, 1, 2, 3, 4, 5, 999_999, time.UTC)
	var last time.Time
	for range 5 {
		messages, _, err := r.Next(now)
		if err != nil {
			t.Fatal(err)
		}
		if at := messages[0].Timestamp; !at.After(last) || at.Sub(now) > 5*time.Millisecond {
			t.Fatalf("time %v after %v at %v", at, last, now)
		}
		last = messages[0].Timestamp
	}
}

func TestSeveralTakesTurns(t *testing.T) {
	var parts []Data
	want := 0
	for _, name := range PlantNames() {
		r := load(t, name).Replay(ReplayOptions{})
		parts = append(parts, r)
		want += r.Total()
	}
	all := &Several{Parts: parts}
	if all.Total() != want {
		t.Errorf("Total = %d, want %d", all.Total(), want)
	}
	got, queues := 0, map[string]bool{}
	for {
		messages, n, err := all.Next(time.Now())
		if errors.Is(err, io.EOF) {
			break
		}
		got += n
		for _, m := range messages {
			queues[m.Queue] = true
		}
	}
	if got != want || len(queues) != 4 {
		t.Errorf("%d records of %d in %v", got, want, queues)
	}
}

func TestEmbeddedFeedsEveryQueueUntilItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	seen := map[string]int{}
	err := Embedded(ctx, func(_ context.Context, queue string, m node.Message) error {
		mu.Lock()
		defer mu.Unlock()
		if seen[queue]++; len(seen) == 4 && seen[queue] > 10 {
			cancel()
		}
		if age := time.Since(m.Timestamp); queue != "master.plant3" && (age < -time.Second || age > time.Minute) {
			t.Errorf("%s: reading of %v", queue, m.Timestamp)
		}
		return nil
	}, EmbeddedOptions{Rate: 1000})
	if err != nil {
		t.Fatalf("Embedded = %v", err)
	}
}

func TestEmbeddedReturnsPublishsError(t *testing.T) {
	broken := errors.New("broken")
	err := Embedded(t.Context(), func(context.Context, string, node.Message) error { return broken }, EmbeddedOptions{})
	if !errors.Is(err, broken) {
		t.Fatalf("Embedded = %v", err)
	}
}

func TestUnknownPlant(t *testing.T) {
	if _, err := LoadPlant("plant9"); err == nil || !strings.Contains(err.Error(), "plant1") {
		t.Fatalf("LoadPlant = %v, want an error that names what there is", err)
	}
}
