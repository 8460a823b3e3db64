package eventtime_test

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/transform/eventtime"
)

func at(t *testing.T, text string) int64 {
	t.Helper()
	tm, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return tm.UnixMilli()
}

func TestTextIsReadByItsFormat(t *testing.T) {
	for _, tc := range []struct{ formats, zone, text, want string }{
		{"auto", "", "2026-08-21T10:00:00Z", "2026-08-21T10:00:00Z"},
		{"auto", "", "2026-08-21T10:00:00.1239Z", "2026-08-21T10:00:00.123Z"},
		{"auto", "", "2026-08-21t10:00:00,5+02:00", "2026-08-21T08:00:00.5Z"},
		{"auto", "", "2013-12-02 21:15:00", "2013-12-02T21:15:00Z"},
		{"auto", "Europe/Berlin", "2013-07-02 21:15:00", "2013-07-02T19:15:00Z"},
		{"auto", "Europe/Berlin", "2013-07-02T21:15:00Z", "2013-07-02T21:15:00Z"},
		{"auto", "", " 2013-12-02 ", "2013-12-02T00:00:00Z"},
		{"auto", "", "1700000000", "2023-11-14T22:13:20Z"},
		{"auto", "", "1700000000123", "2023-11-14T22:13:20.123Z"},
		{"auto", "", "1700000000123456", "2023-11-14T22:13:20.123Z"},
		{"auto", "", "1700000000123456789", "2023-11-14T22:13:20.123Z"},
		{"auto", "", "1700000000.5", "2023-11-14T22:13:20.5Z"},
		{"epoch_s", "", "-1.5", "1969-12-31T23:59:58.5Z"},
		{"%d-%m-%Y %H:%M", "", "01-02-2018 00:15", "2018-02-01T00:15:00Z"},
		{"%d.%m.%Y %H:%M:%S", "Europe/Berlin", "04.07.2013 00:00:00", "2013-07-03T22:00:00Z"},
		{"%Y %m %d %H", "Asia/Shanghai", "2013 3 1 0", "2013-02-28T16:00:00Z"},
		{"%m/%d/%y %I:%M %p", "", "12/31/99 12:05 am", "1999-12-31T00:05:00Z"},
		{"%e %b %Y %H:%M:%S.%f %z", "", " 3 Feb 2024 01:02:03.25 +0100", "2024-02-03T00:02:03.25Z"},
		{"%B %d, %Y", "", "February 29, 2024", "2024-02-29T00:00:00Z"},
		{"%Y-%j", "", "2024-366", "2024-12-31T00:00:00Z"},
		{"%s", "", "1700000000", "2023-11-14T22:13:20Z"},
		{"%d.%m.%Y|auto", "", "2024-02-03", "2024-02-03T00:00:00Z"},
	} {
		r, err := eventtime.New(strings.Split(tc.formats, "|"), tc.zone)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Text(tc.text)
		if err != nil || got != at(t, tc.want) {
			t.Errorf("%s, zone %q: Text(%q) = %s, %v; want %s", tc.formats, tc.zone, tc.text, time.UnixMilli(got).UTC(), err, tc.want)
		}
	}
}

func TestTextThatIsNoTimeIsRefused(t *testing.T) {
	for _, tc := range []struct{ format, text string }{
		{"auto", ""},
		{"auto", "yesterday"},
		{"auto", "2026-02-30T10:00:00Z"},
		{"auto", "2026-13-01T10:00:00Z"},
		{"auto", "2026-08-21T24:00:00Z"},
		{"auto", "2026-08-21T10:00:60Z"},
		{"auto", "2026-08-21T10:00:00Zx"},
		{"auto", "2026-08-21T10:00:00+25:00"},
		{"auto", "2026-08-21T10"},
		{"auto", "0000-01-01"},
		{"auto", "NaN"},
		{"auto", "0x10"},
		{"epoch_s", "1e30"},
		{"epoch", "2026-08-21"},
		{"rfc3339", "1700000000"},
		{"%d.%m.%Y", "31.04.2020"},
		{"%d.%m.%Y", "29.02.2023"},
		{"%d.%m.%Y", "01.02.2023 "[:9]},
		{"%I %p %Y-%m-%d", "13 pm 2020-01-01"},
		{"%Y-%j", "2023-366"},
	} {
		r, err := eventtime.New([]string{tc.format}, "")
		if err != nil {
			t.Fatal(err)
		}
		if ms, err := r.Text(tc.text); err == nil {
			t.Errorf("%s: Text(%q) = %s; want an error", tc.format, tc.text, time.UnixMilli(ms).UTC())
		}
	}
}

func TestFormatsThatCannotWorkAreRefused(t *testing.T) {
	for format, word := range map[string]string{
		"2006-01-02": "strftime", "%Y-%m": "no day", "%d.%m": "no year", "%Y-%d": "no month",
		"%Q": "not known", "%Y-%m-%d %": "ends in", "%Y-%m-%d %I": "each other",
	} {
		if _, err := eventtime.New([]string{format}, ""); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("New(%q) = %v; want an error with %q", format, err, word)
		}
	}
	if _, err := eventtime.New(nil, "Mars/Olympus"); err == nil {
		t.Error("an unknown zone passed")
	}
}

func TestValuesAreReadByTheirKind(t *testing.T) {
	auto, err := eventtime.New(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []event.Value{event.Int(1700000000), event.Float(1.7e9), event.Decimal("1700000000000000000000e-12"), event.Time(1700000000000), event.String("2023-11-14T22:13:20Z")} {
		if ms, err := auto.Read(v); err != nil || ms != 1700000000000 {
			t.Errorf("Read(%s %s) = %d, %v; want 1700000000000", v.Kind(), v.Format(), ms, err)
		}
	}
	for _, v := range []event.Value{event.Null, event.Bool(true), event.JSON("[1]")} {
		if ms, err := auto.Read(v); err == nil {
			t.Errorf("Read(%s) = %d; want an error", v.Kind(), ms)
		}
	}
	texts, err := eventtime.New([]string{"rfc3339"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if ms, err := texts.Read(event.Int(5)); err == nil {
		t.Errorf("rfc3339 read the number 5 as %d", ms)
	}
}

// FuzzText holds the hand-written reader to package time for every text that
// time.RFC3339 describes.
func FuzzText(f *testing.F) {
	for _, s := range []string{"2026-08-21T10:00:00Z", "2024-02-29T23:59:59.999999999+14:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-00:01", "2023-02-29T00:00:00Z"} {
		f.Add(s)
	}
	r, err := eventtime.New([]string{"rfc3339"}, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, gotErr := r.Text(text)
		want, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || want.Year() < 1 {
			return // the reader is more tolerant: blank for T, missing zone
		}
		if ms := want.UnixMilli(); ms < eventtime.Earliest || ms > eventtime.Latest {
			return
		}
		if gotErr != nil || got != want.UnixMilli() {
			t.Fatalf("Text(%q) = %d, %v; time.Parse says %d", text, got, gotErr, want.UnixMilli())
		}
	})
}

func BenchmarkText(b *testing.B) {
	for format, text := range map[string]string{"auto": "2026-08-21T10:00:00.123Z", "epoch": "1700000000123", "%d-%m-%Y %H:%M": "01-02-2018 00:15"} {
		b.Run(text, func(b *testing.B) {
			r, err := eventtime.New([]string{format}, "")
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Text(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
