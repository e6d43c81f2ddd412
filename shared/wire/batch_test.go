package wire

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

func coder(t testing.TB) *BatchCoder {
	t.Helper()
	c, err := NewBatchCoder(1)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func facts(from int64, n int, body string) []Fact {
	out := make([]Fact, n)
	for i := range out {
		out[i] = Fact{Seq: from + int64(i), Kind: KindEvent, Body: json.RawMessage(body)}
	}
	return out
}

func TestBatchRoundTrip(t *testing.T) {
	c := coder(t)
	b := Batch{Epoch: "e1", Queue: 3, Lane: Live, Facts: facts(41, MaxBatchFacts, `{"kind":"door_opened"}`)}
	body, err := c.Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Decode(body)
	if err != nil || !reflect.DeepEqual(got, b) {
		t.Fatalf("the batch changed on the way: %v", err)
	}
}

func TestBatchEncodeRefuses(t *testing.T) {
	c := coder(t)
	large := `"` + strings.Repeat("x", MaxFactBytes-2) + `"`
	for name, b := range map[string]Batch{
		"epoch":    {Lane: Live, Facts: facts(1, 1, "{}")},
		"lane":     {Epoch: "e", Lane: "express", Facts: facts(1, 1, "{}")},
		"empty":    {Epoch: "e", Lane: Live},
		"too many": {Epoch: "e", Lane: Live, Facts: facts(1, MaxBatchFacts+1, "{}")},
		"seq 0":    {Epoch: "e", Lane: Live, Facts: facts(0, 1, "{}")},
		"hole":     {Epoch: "e", Lane: Live, Facts: append(facts(1, 1, "{}"), facts(3, 1, "{}")...)},
		"size":     {Epoch: "e", Lane: Live, Facts: facts(1, 65, large)},
		"not JSON": {Epoch: "e", Lane: Live, Facts: facts(1, 1, "{")},
	} {
		if _, err := c.Encode(b); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
}

func TestBatchDecodeRefuses(t *testing.T) {
	c := coder(t)
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	pack := func(s string) []byte { return enc.EncodeAll([]byte(s), nil) }
	bomb := enc.EncodeAll(make([]byte, 1<<30), nil)
	for name, v := range map[string]struct {
		body []byte
		code RefusalCode
	}{
		"bomb":         {bomb, RefusedTooLarge},
		"not packed":   {[]byte(`{"epoch":"e"}`), RefusedMalformed},
		"cut":          {bomb[:len(bomb)/2], RefusedTooLarge},
		"not JSON":     {pack("hello"), RefusedMalformed},
		"after":        {pack(`{"epoch":"e","lane":"live","facts":[{"seq":1,"kind":"run","body":{}}]} x`), RefusedMalformed},
		"seq overflow": {pack(`{"epoch":"e","lane":"live","facts":[{"seq":18446744073709551615,"kind":"run","body":{}}]}`), RefusedMalformed},
		"depth":        {pack(`{"epoch":"e","facts":[{"seq":1,"body":` + strings.Repeat("[", 100_000)), RefusedMalformed},
		"hole":         {pack(`{"epoch":"e","lane":"live","facts":[{"seq":1},{"seq":3}]}`), RefusedMalformed},
		"too many":     {pack(`{"epoch":"e","lane":"live","facts":[` + strings.Repeat("{},", MaxBatchFacts) + `{}]}`), RefusedTooLarge},
		"nothing":      {nil, RefusedMalformed},
	} {
		_, err := c.Decode(v.body)
		if err == nil {
			t.Fatalf("%s: decoded", name)
		}
		wantRefusal(t, err, v.code)
	}
}

func TestPoisonFactDoesNotSpoilItsBatch(t *testing.T) {
	c := coder(t)
	b := Batch{Epoch: "e", Lane: Live, Facts: facts(1, 3, `{}`)}
	b.Facts[1].Kind = "telepathy"
	b.Facts[2].Body = json.RawMessage(`"` + strings.Repeat("x", MaxFactBytes) + `"`)
	body, err := c.Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Decode(body)
	if err != nil || len(got.Facts) != 3 {
		t.Fatalf("Decode = %d facts, %v", len(got.Facts), err)
	}
	if got.Facts[0].Check() != nil || got.Facts[1].Check() == nil || got.Facts[2].Check() == nil {
		t.Fatal("Check does not tell the good fact from the two bad ones")
	}
}

func TestDecodeTakesOneValue(t *testing.T) {
	var v map[string]any
	for _, bad := range []string{"", "{} {}", "{", `{"a":1}]`} {
		if Decode([]byte(bad), &v) == nil {
			t.Errorf("%q was decoded", bad)
		}
	}
	if err := Decode(bytes.TrimSpace([]byte(` {"a":1} `)), &v); err != nil {
		t.Fatal(err)
	}
}

func TestMicros(t *testing.T) {
	for us, want := range map[int64]time.Duration{
		0: 0, -5: -5 * time.Microsecond, 1 << 60: math.MaxInt64 / 1000 * 1000, -1 << 63: -(math.MaxInt64 / 1000 * 1000),
	} {
		if got := Micros(us); got != want {
			t.Errorf("Micros(%d) = %d, want %d", us, got, want)
		}
	}
}
