package clock

import (
	"context"
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"time"
)

// put writes a time as a server does.
func put(b []byte, t time.Time) {
	binary.BigEndian.PutUint32(b, uint32(t.Unix()+2208988800))
	binary.BigEndian.PutUint32(b[4:], uint32(int64(t.Nanosecond())<<32/1e9))
}

// server answers each question as answer changes a good one.
func server(t *testing.T, ahead time.Duration, answer func(b []byte) []byte) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 100)
		for {
			n, who, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if n != 48 || buf[0] != 0x23 {
				continue
			}
			b := make([]byte, 48)
			b[0], b[1] = 0x24, 2
			copy(b[24:], buf[40:48])
			put(b[32:], time.Now().Add(ahead))
			put(b[40:], time.Now().Add(ahead))
			if b = answer(b); b != nil {
				conn.WriteTo(b, who)
			}
		}
	}()
	return conn.LocalAddr().String()
}

func good(b []byte) []byte { return b }

func TestAsk(t *testing.T) {
	for _, ahead := range []time.Duration{0, 40 * time.Minute, -20 * time.Hour, 12 * 365 * 24 * time.Hour} {
		a, err := Ask(t.Context(), []string{server(t, ahead, good)})
		if err != nil {
			t.Fatal(err)
		}
		if d := a.Offset - ahead; d.Abs() > 500*time.Millisecond {
			t.Errorf("ahead by %v: offset %v", ahead, a.Offset)
		}
		var stepped time.Duration
		if err := a.Apply(func(d time.Duration) error { stepped = d; return nil }); err != nil {
			t.Fatal(err)
		}
		if ahead == 0 && (a.Set || stepped != 0) || ahead != 0 && (!a.Set || stepped != a.Offset) {
			t.Errorf("ahead by %v: stepped by %v", ahead, stepped)
		}
	}
}

func TestAskRefuses(t *testing.T) {
	at := func(i int, v byte) func([]byte) []byte { return func(b []byte) []byte { b[i] = v; return b } }
	for name, tt := range map[string]struct {
		answer func([]byte) []byte
		says   string
	}{
		"not a server": {at(0, 0x23), "no server's"},
		"not set":      {at(0, 0xe4), "does not know the time"},
		"far away":     {at(1, 16), "does not know the time"},
		"go away":      {func(b []byte) []byte { b[1] = 0; copy(b[12:], "RATE"); return b }, "RATE"},
		"at its start": {func(b []byte) []byte { b[0], b[1] = 0xe4, 0; copy(b[12:], "INIT"); return b }, "does not know the time"},
		"long ago":     {func(b []byte) []byte { put(b[32:], time.Unix(1e9, 0)); put(b[40:], time.Unix(1e9, 0)); return b }, "cannot be"},
		"back in time": {func(b []byte) []byte { put(b[40:], time.Now().Add(-time.Hour)); return b }, "cannot be"},
	} {
		if a, err := Ask(t.Context(), []string{server(t, 0, tt.answer)}); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

// What answers another question, or nothing, is waited past.
func TestAskGoesOn(t *testing.T) {
	forged := server(t, time.Hour, func(b []byte) []byte { b[24] ^= 1; return b })
	short := server(t, time.Hour, func(b []byte) []byte { return b[:47] })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if a, err := Ask(ctx, []string{forged}); err == nil {
		t.Errorf("forged: %+v", a)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if a, err := Ask(ctx, []string{short}); err == nil {
		t.Errorf("short: %+v", a)
	}
	sent := server(t, 0, func(b []byte) []byte { b[1] = 0; return b })
	right := server(t, time.Hour, good)
	if a, err := Ask(t.Context(), []string{"no.such.name.invalid", sent, right}); err != nil || a.Server != right {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestSay(t *testing.T) {
	for want, a := range map[string]Answer{
		"is right, says x": {Server: "x"}, "was 1m0s behind": {Server: "x", Offset: time.Minute, Set: true}, "was 2s ahead": {Offset: -2 * time.Second, Set: true},
	} {
		if got := a.Say(); !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(make([]byte, 48))
	f.Fuzz(func(t *testing.T, b []byte) {
		received, transmitted, err := read(b, make([]byte, 8))
		if err == nil && (transmitted.Year() < 2024 || received.After(transmitted)) {
			t.Errorf("%v, %v", received, transmitted)
		}
	})
}
