package bus_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime"
	"slices"
	"testing"
	"time"

	"replicator/bus"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func frames(body []byte, id uint64, limit int) [][]byte {
	return slices.Collect(bus.Frames(body, id, limit))
}

func assemble(tb testing.TB, a *bus.Assembler, source string, msgs [][]byte) []byte {
	tb.Helper()
	for i, m := range msgs {
		whole, done, err := a.Add(source, m, start)
		must(tb, err)
		if done != (i == len(msgs)-1) {
			tb.Fatalf("message %d of %d: done %v", i, len(msgs), done)
		}
		if done {
			return whole
		}
	}
	return nil
}

func TestFramesComeBackWhole(t *testing.T) {
	const limit = bus.MinFrame
	const piece = limit - bus.FrameOverhead
	for _, size := range []int{0, 1, piece, limit - 1, limit, limit + 1, 2 * piece, 2*piece + 1, 100_000} {
		for _, mark := range []byte{0x01, '{', 0x02} {
			t.Run(fmt.Sprintf("%d/%#x", size, mark), func(t *testing.T) {
				body := random(size)
				if size > 0 {
					body[0] = mark
				}
				msgs := frames(body, 7, limit)
				for _, m := range msgs {
					if len(m) > limit {
						t.Fatalf("a message of %d bytes", len(m))
					}
				}
				if bare := size <= limit && (size == 0 || mark != 0x02); bare != (len(msgs) == 1 && bytes.Equal(msgs[0], body)) {
					t.Fatalf("bare %v in %d messages", bare, len(msgs))
				}
				a := bus.NewAssembler(bus.AssemblerOptions{})
				if got := assemble(t, a, "s", msgs); !bytes.Equal(got, body) {
					t.Fatal("another body came back")
				}
				if s := a.Stats(); s.Open != 0 || s.Memory != 0 {
					t.Fatalf("left over: %+v", s)
				}
			})
		}
	}
}

func TestFramesStopEarly(t *testing.T) {
	for range bus.Frames(random(10_000), 1, bus.MinFrame) {
		break
	}
}

func TestFramesOfManyBodiesMix(t *testing.T) {
	a := bus.NewAssembler(bus.AssemblerOptions{})
	bodies := [][]byte{random(5000), random(5000), random(5000)}
	lists := [][][]byte{frames(bodies[0], 1, 300), frames(bodies[1], 2, 300), frames(bodies[2], 1, 300)}
	sources := []string{"a", "a", "b"}
	for i := range lists[0] {
		for j, list := range lists {
			whole, done, err := a.Add(sources[j], list[i], start)
			must(t, err)
			if done && !bytes.Equal(whole, bodies[j]) {
				t.Fatalf("body %d is another", j)
			}
		}
	}
	if s := a.Stats(); s.Open != 0 || s.Memory != 0 {
		t.Fatalf("left over: %+v", s)
	}
}

// reframe changes a field of a frame and keeps its checksum right.
func reframe(f []byte, change func(f []byte)) []byte {
	f = bytes.Clone(f)
	change(f)
	binary.BigEndian.PutUint32(f[25:], crc32.Checksum(f[bus.FrameOverhead:], crc32.MakeTable(crc32.Castagnoli)))
	return f
}

func TestAssemblerRefuses(t *testing.T) {
	body := random(1000)
	list := frames(body, 1, 300)
	set32 := func(at int, v uint32) func([]byte) {
		return func(f []byte) { binary.BigEndian.PutUint32(f[at:], v) }
	}
	setTotal := func(v uint64) func([]byte) {
		return func(f []byte) { binary.BigEndian.PutUint64(f[17:], v) }
	}
	damaged := bytes.Clone(list[1])
	damaged[len(damaged)-1] ^= 1
	for _, c := range []struct {
		name   string
		before [][]byte
		bad    []byte
		intact bool // the body can still be finished
	}{
		{"too short", nil, list[0][:bus.FrameOverhead-1], true},
		{"empty piece", nil, list[0][:bus.FrameOverhead], true},
		{"no beginning", nil, list[1], true},
		{"damage", list[:1], damaged, true},
		{"again", list[:2], list[1], true},
		{"first again", list[:1], list[0], true},
		{"hole", list[:1], list[2], false},
		{"other count", list[:1], reframe(list[1], set32(13, uint32(len(list)+1))), false},
		{"other total", list[:1], reframe(list[1], setTotal(1001)), false},
		{"index beyond count", list[:1], reframe(list[1], set32(9, 99)), true},
		{"count zero", nil, reframe(list[0], set32(13, 0)), true},
		{"more frames than bytes", nil, reframe(list[0], set32(13, 1<<31)), true},
		{"piece beyond total", nil, reframe(list[0], setTotal(10)), true},
		{"short single", nil, reframe(list[0], set32(13, 1)), true},
		{"last too short", list[:len(list)-1], reframe(list[len(list)-1][:bus.FrameOverhead+5], func([]byte) {}), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := bus.NewAssembler(bus.AssemblerOptions{})
			for _, m := range c.before {
				_, _, err := a.Add("s", m, start)
				must(t, err)
			}
			if _, done, err := a.Add("s", c.bad, start); !errors.Is(err, bus.ErrBadFrame) || done {
				t.Fatalf("got %v, %v", done, err)
			}
			if !c.intact {
				if s := a.Stats(); s.Open != 0 || s.Memory != 0 {
					t.Fatalf("left over: %+v", s)
				}
				return
			}
			if got := assemble(t, a, "s", list[len(c.before):]); !bytes.Equal(got, body) {
				t.Fatal("another body came back")
			}
		})
	}
}

func TestAssemblerTakesNoClaimOfSize(t *testing.T) {
	a := bus.NewAssembler(bus.AssemblerOptions{MaxBody: 1 << 20})
	var large *bus.TooLargeError
	huge := reframe(frames(random(1000), 1, 300)[0], func(f []byte) {
		binary.BigEndian.PutUint64(f[17:], 1<<63)
		binary.BigEndian.PutUint32(f[13:], 1<<31)
	})
	if _, _, err := a.Add("s", huge, start); !errors.As(err, &large) || large.Limit != 1<<20 {
		t.Fatalf("got %v", err)
	}
	if _, _, err := a.Add("s", random(1<<20+1), start); !errors.As(err, &large) {
		t.Fatalf("bare: got %v", err)
	}
	// What is within the cap is still only a claim.
	a = bus.NewAssembler(bus.AssemblerOptions{MaxBody: 1 << 40, MaxMemory: 1 << 20})
	claim := reframe(huge, func(f []byte) { binary.BigEndian.PutUint64(f[17:], 1<<39) })
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := a.Add("s", claim, start)
	must(t, err)
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Fatalf("%d bytes allocated for a claim", grown)
	}
}

func TestAssemblerIsBounded(t *testing.T) {
	a := bus.NewAssembler(bus.AssemblerOptions{MaxAssemblies: 3, MaxPerSource: 2, MaxMemory: 10_000, MaxBody: 1 << 20})
	begin := func(source string, id uint64, size int) error {
		_, _, err := a.Add(source, frames(random(2*size), id, size)[0], start)
		return err
	}
	must(t, begin("a", 1, 300))
	must(t, begin("a", 2, 300))
	if err := begin("a", 3, 300); !errors.Is(err, bus.ErrAssemblerFull) {
		t.Fatalf("third of one source: %v", err)
	}
	if err := begin("a", 2, 400); !errors.Is(err, bus.ErrBadFrame) {
		t.Fatalf("another body under an open id: %v", err)
	}
	must(t, begin("a", 2, 300))
	if err := begin("b", 1, 20_000); !errors.Is(err, bus.ErrAssemblerFull) {
		t.Fatalf("beyond the memory: %v", err)
	}
	must(t, begin("b", 1, 300))
	if err := begin("c", 1, 300); !errors.Is(err, bus.ErrAssemblerFull) {
		t.Fatalf("fourth of all: %v", err)
	}
	if s := a.Stats(); s.Open != 3 || s.Memory > 10_000 || s.Memory < 3*(300-bus.FrameOverhead) {
		t.Fatalf("held: %+v", s)
	}
}

func TestOneSourceLeavesRoomForOthers(t *testing.T) {
	a := bus.NewAssembler(bus.AssemblerOptions{MaxMemory: 100_000, MaxPerSource: 8})
	for id := range uint64(8) {
		_, _, err := a.Add("greedy", frames(random(30_000), id, 20_000)[0], start)
		if full := id >= 2; full != errors.Is(err, bus.ErrAssemblerFull) {
			t.Fatalf("body %d: %v", id, err)
		}
	}
	body := random(30_000)
	if got := assemble(t, a, "other", frames(body, 1, 20_000)); !bytes.Equal(got, body) {
		t.Fatal("another body came back")
	}
}

func TestAssembliesExpireByTheLongestPause(t *testing.T) {
	a := bus.NewAssembler(bus.AssemblerOptions{Timeout: 10 * time.Second})
	slow, dead := frames(random(2000), 1, 300), frames(random(2000), 2, 300)
	_, _, err := a.Add("s", dead[0], start)
	must(t, err)
	now := start
	for i, m := range slow {
		_, done, err := a.Add("s", m, now)
		must(t, err)
		if done != (i == len(slow)-1) {
			t.Fatal("slow body was cut off")
		}
		now = now.Add(9 * time.Second)
	}
	if s := a.Stats(); s.Open != 0 || s.Expired != 1 {
		t.Fatalf("got %+v", s)
	}
	if _, _, err := a.Add("s", dead[1], now); !errors.Is(err, bus.ErrBadFrame) {
		t.Fatalf("after its end: %v", err)
	}
	_, _, err = a.Add("s", slow[0], now)
	must(t, err)
	if n := a.Expire(now.Add(11 * time.Second)); n != 1 {
		t.Fatalf("%d expired", n)
	}
}

func FuzzAssembler(f *testing.F) {
	for _, m := range frames(random(1000), 1, 300) {
		f.Add(m, m)
	}
	list := frames(random(500), 1, 300)
	f.Add(list[0], list[1])
	f.Add([]byte("{}"), []byte{2})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		const maxBody = 4096
		a := bus.NewAssembler(bus.AssemblerOptions{MaxBody: maxBody, MaxMemory: 8192, MaxAssemblies: 2, Timeout: time.Second})
		now := start
		for _, m := range [][]byte{first, second, second, first} {
			now = now.Add(300 * time.Millisecond)
			whole, done, err := a.Add("s", m, now)
			if done && err != nil || !done && whole != nil || len(whole) > maxBody {
				t.Fatalf("whole %d, done %v, err %v", len(whole), done, err)
			}
			if s := a.Stats(); s.Memory < 0 || s.Memory > 8192 || s.Open > 2 || s.Open == 0 && s.Memory != 0 {
				t.Fatalf("held: %+v", s)
			}
		}
		if a.Expire(now.Add(2 * time.Second)); a.Stats().Memory != 0 {
			t.Fatal("memory kept")
		}
		// Any body survives the trip, whatever it looks like.
		if len(first) <= maxBody {
			if got := assemble(t, a, "s", frames(first, 9, bus.MinFrame)); !bytes.Equal(got, first) {
				t.Fatal("another body came back")
			}
		}
	})
}

func BenchmarkFrames16MiB(b *testing.B) {
	body := random(16 << 20)
	a := bus.NewAssembler(bus.AssemblerOptions{})
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		for m := range bus.Frames(body, 1, 256<<10) {
			if _, _, err := a.Add("s", m, start); err != nil {
				b.Fatal(err)
			}
		}
	}
}
