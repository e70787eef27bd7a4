// Package clock asks servers for the time and sets the system's clock by them,
// since the times in images and logs are only as good as it. The protocol is
// SNTP (RFC 4330), one question to one server: good to some milliseconds, and
// whoever is on the way can lie. The hardware's clock is left alone.
package clock

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Fallback is asked where nobody named a server.
const Fallback = "pool.ntp.org"

const (
	patience = 2 * time.Second // for one answer
	tries    = 3
	small    = 100 * time.Millisecond // an offset that is not worth a step
)

// Answer is what a server said.
type Answer struct {
	Server string        `json:"server"`
	Offset time.Duration `json:"offset"` // to be added to this clock
	Set    bool          `json:"set"`    // it was
}

// Ask asks servers in turn until one answers. A server is HOST or HOST:PORT.
func Ask(ctx context.Context, servers []string) (Answer, error) {
	var problems []error
	for _, s := range servers {
		for range tries {
			offset, err := ask(ctx, s)
			if err == nil {
				return Answer{Server: s, Offset: offset}, nil
			}
			if ctx.Err() != nil {
				return Answer{}, errors.Join(append(problems, err)...)
			}
			problems = append(problems, fmt.Errorf("%s: %w", s, err))
			var e net.Error
			if !errors.As(err, &e) || !e.Timeout() {
				break // no such name, nobody there, or nonsense
			}
		}
	}
	return Answer{}, errors.Join(problems...)
}

func ask(ctx context.Context, server string) (time.Duration, error) {
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(server, "123")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "udp", server)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	end, _ := ctx.Deadline()
	if err := conn.SetDeadline(end); err != nil {
		return 0, err
	}
	var question [48]byte
	question[0] = 4<<3 | 3 // version 4, client
	// The time of sending need not be true: only the server's answer to it
	// must be to this question.
	if _, err := rand.Read(question[40:]); err != nil {
		return 0, err
	}
	sent := time.Now()
	if _, err := conn.Write(question[:]); err != nil {
		return 0, err
	}
	buf := make([]byte, 512)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return 0, err
		}
		received, transmitted, err := read(buf[:n], question[40:])
		if errors.Is(err, errOther) {
			continue
		}
		if err != nil {
			return 0, err
		}
		now := time.Now()
		return (received.Sub(sent.Round(0)) + transmitted.Sub(now.Round(0))) / 2, nil
	}
}

// errOther is an answer to another question.
var errOther = errors.New("an answer to no question of ours")

// read takes an answer apart: when the question came to the server and when
// the answer left it. Its fields are those of RFC 4330, section 4.
func read(b, cookie []byte) (received, transmitted time.Time, err error) {
	if len(b) < 48 || string(b[24:32]) != string(cookie) {
		return received, transmitted, errOther
	}
	leap, mode, stratum := b[0]>>6, b[0]&7, b[1]
	switch {
	case mode != 4:
		return received, transmitted, fmt.Errorf("mode %d is no server's", mode)
	case stratum == 0 && !lost(string(b[12:16])): // its reason is in four letters
		return received, transmitted, fmt.Errorf("the server sends us away (%q)", b[12:16])
	case stratum == 0 || stratum > 15 || leap == 3:
		return received, transmitted, errors.New("the server does not know the time itself")
	}
	received, transmitted = timestamp(b[32:]), timestamp(b[40:])
	if transmitted.Year() < 2024 || transmitted.Sub(received) < 0 || transmitted.Sub(received) > time.Minute {
		return received, transmitted, fmt.Errorf("the server says %s, which cannot be", transmitted.UTC().Format(time.RFC3339))
	}
	return received, transmitted, nil
}

// lost tells whether stratum 0 with this code is that of a server which has not
// found the time yet: its stratum 16 is sent as 0 (RFC 5905, 7.3 and 7.4).
func lost(code string) bool { return code == "\x00\x00\x00\x00" || code == "INIT" || code == "STEP" }

// timestamp reads seconds since 1900 and their fractions, 32 bits each. Since
// 2036 the seconds begin again at 0 (section 3).
func timestamp(b []byte) time.Time {
	seconds := int64(binary.BigEndian.Uint32(b))
	if seconds < 1<<31 {
		seconds += 1 << 32
	}
	nanoseconds := int64(binary.BigEndian.Uint32(b[4:])) * 1e9 >> 32
	return time.Unix(seconds-2208988800, nanoseconds)
}

// Apply sets the clock by an answer, unless it is right already. step is how;
// nil is the system's.
func (a *Answer) Apply(step func(time.Duration) error) error {
	if a.Offset.Abs() < small {
		return nil
	}
	if step == nil {
		step = stepSystem
	}
	if err := step(a.Offset); err != nil {
		return fmt.Errorf("the clock cannot be set: %w", err)
	}
	a.Set = true
	return nil
}

// stepSystem adds an offset to the system's clock.
func stepSystem(offset time.Duration) error {
	now := unix.NsecToTimeval(time.Now().Add(offset).UnixNano())
	return unix.Settimeofday(&now)
}

// Say says in a sentence what became of the clock.
func (a Answer) Say() string {
	if !a.Set {
		return "the clock is right, says " + a.Server
	}
	how := "behind"
	if a.Offset < 0 {
		how = "ahead"
	}
	return fmt.Sprintf("the clock was %s %s and is set by %s; the hardware's clock was left alone", a.Offset.Abs().Round(time.Millisecond), how, a.Server)
}
