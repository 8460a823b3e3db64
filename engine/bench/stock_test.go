//go:build bench

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// gormRow is a reading as a GORM user would declare it.
type gormRow struct {
	EventID   []byte `gorm:"primaryKey"`
	SourceID  string
	Plant     string
	Device    string
	Metric    string
	EventTime time.Time
	Value     float64
	Unit      string
	Plugin    string
}

// stock is rig (c): watermill's own adapters wired as their documentation shows:
// amqp -> redisstream -> handler -> redisstream -> GORM.
func stock(t testing.TB, amqpURL, redisURL, dsn, table string, count int) {
	log := watermill.NopLogger{}
	opts, err := redis.ParseURL(redisURL)
	must(t, err)
	rdb := redis.NewClient(opts)
	defer rdb.Close()
	db, err := gorm.Open(mysql.Open(dsn), &gorm.Config{SkipDefaultTransaction: true, Logger: logger.Discard})
	must(t, err)
	router, err := message.NewRouter(message.RouterConfig{}, log)
	must(t, err)
	pub, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: rdb}, log)
	must(t, err)
	var stored atomic.Int64
	pass := func(m *message.Message) ([]*message.Message, error) {
		return []*message.Message{message.NewMessage(m.UUID, m.Payload)}, nil
	}
	for i, q := range queues {
		sub, err := amqp.NewSubscriber(amqp.NewDurableQueueConfig(amqpURL), log)
		must(t, err)
		a, b := fmt.Sprintf("stock:a%d", i), fmt.Sprintf("stock:b%d", i)
		router.AddHandler("in"+q, q, sub, a, pub, pass)
		router.AddHandler("map"+q, a, redisSubscriber(t, rdb), b, pub, scaleMessage)
		router.AddConsumerHandler("sql"+q, b, redisSubscriber(t, rdb), func(m *message.Message) error {
			defer stored.Add(1)
			return storeMessage(db, table, m)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for stored.Load() < int64(count) {
			pause(time.Millisecond)
		}
		cancel()
	}()
	must(t, router.Run(ctx))
	rdb.FlushDB(context.Background())
}

func redisSubscriber(t testing.TB, rdb *redis.Client) message.Subscriber {
	sub, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client: rdb, ConsumerGroup: "bench", OldestId: "0", ShouldStopOnReadErrors: func(error) bool { return false },
	}, watermill.NopLogger{})
	must(t, err)
	return sub
}

func scaleMessage(m *message.Message) ([]*message.Message, error) {
	var r row
	if err := json.Unmarshal(m.Payload, &r); err != nil {
		return nil, err
	}
	r.Value = r.Value*1.8 + 32
	b, err := json.Marshal(r)
	return []*message.Message{message.NewMessage(m.UUID, b)}, err
}

func storeMessage(db *gorm.DB, table string, m *message.Message) error {
	var r row
	if err := json.Unmarshal(m.Payload, &r); err != nil {
		return err
	}
	return db.Table(table).Create(&gormRow{
		EventID: eventID(r.TS, r.ID), SourceID: r.ID, Plant: "plant1", Device: r.Device, Metric: r.Metric,
		EventTime: r.TS, Value: r.Value, Unit: r.Unit, Plugin: "stock",
	}).Error
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
