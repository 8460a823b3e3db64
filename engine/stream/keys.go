package stream

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace/engine/event"
)

// formatVersion is the version of everything that FORMAT.md says about Redis keys.
const formatVersion = "1"

// LaneOf returns the lane of key among lanes: xxhash64(key, seed 0) mod lanes.
func LaneOf(key string, lanes int) int { return int(xxhash.Sum64String(key) % uint64(lanes)) }

// TopicOf returns the watermill topic of one lane, "stream/lane".
func TopicOf(stream string, lane int) string { return stream + "/" + strconv.Itoa(lane) }

// ofGeneration reports whether the stream belongs to another generation than the
// live one: its name then is name@generation.
func ofGeneration(stream string) bool { return strings.Contains(stream, "@") }

func parseTopic(topic string) (stream string, lane int, err error) {
	name, number, ok := strings.Cut(topic, "/")
	lane, err = strconv.Atoi(number)
	if !ok || err != nil || lane < 0 || TopicOf(name, lane) != topic {
		return "", 0, fmt.Errorf("topic %q: want stream/lane", topic)
	}
	return name, lane, nil
}

// StateOf returns the name under which a generation keeps the state of a node: that
// of the live one is the node's own.
func StateOf(node, generation string) string {
	if generation == Live {
		return node
	}
	return node + "@" + generation
}

// Live is the generation whose states carry the plain names of their nodes.
const Live = "live"

// keys holds the names of one pipeline's Redis keys. All share one hash tag.
type keys struct {
	prefix string
	meta, owners, positions, readers, streams, usage,
	dead, deadIndex, blocked, blockedBy, buckets, none, replays string
}

func newKeys(pipeline string) keys {
	p := "mr:{" + pipeline + "}:"
	return keys{
		prefix: p, meta: p + "meta", owners: p + "owners", positions: p + "positions", readers: p + "readers",
		streams: p + "streams", usage: p + "usage", dead: p + "dead", deadIndex: p + "deadindex", blocked: p + "blocked", blockedBy: p + "blockedby",
		buckets: p + "buckets", none: p + "none", replays: p + "replays",
	}
}

func (k *keys) lease(name string) string { return k.prefix + "lease:" + name }
func (k *keys) state(node string) string { return k.prefix + "state:" + node }
func (k *keys) stateVersions(node string) string {
	return k.prefix + "stateversions:" + node
}
func (k *keys) stream(name string, lane int) string {
	return k.prefix + "stream:" + name + ":" + strconv.Itoa(lane)
}
func (k *keys) lane(name string, lane int) string {
	return k.prefix + "lane:" + name + ":" + strconv.Itoa(lane)
}
func (k *keys) bucket(source string, slot int) string {
	return k.prefix + "ids:" + source + ":" + strconv.Itoa(slot)
}

// readerField and positionField name a reader in the hashes of readers and positions.
func readerField(reader, stream string) string { return reader + "|" + stream }
func positionField(reader, stream string, lane int) string {
	return reader + "|" + stream + "|" + strconv.Itoa(lane)
}

// blockedField names a key that dead letters of a node with strict order hold up, for
// the live run or for what is driven again.
func blockedField(node, key, generation string) string {
	if generation == redriven {
		return node + "|" + key + "|" + redriven
	}
	return node + "|" + key
}

// redriven is the generation of what drives dead letters again.
const redriven = "redrive"

// entryID writes a position as Redis knows it; the epoch is kept elsewhere.
func entryID(p event.Position) string {
	b := make([]byte, 0, 34)
	b = strconv.AppendUint(b, p.Ms, 10)
	b = append(b, '-')
	return string(strconv.AppendUint(b, p.Seq, 10))
}

// at reads an entry id under this log's epoch.
func (l *Log) at(id string) (event.Position, error) {
	ms, seq, ok := strings.Cut(id, "-")
	m, err1 := strconv.ParseUint(ms, 10, 64)
	s, err2 := strconv.ParseUint(seq, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return event.Position{}, fatalf("entry id %q: %w", id, event.ErrFormat)
	}
	return event.Position{Epoch: l.epoch, Ms: m, Seq: s}, nil
}
