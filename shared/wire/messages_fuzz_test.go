package wire

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
)

// FuzzMessages reads anything as every message there is: what is taken survives being written and read again, and has no
// word in it that its own check refuses.
func FuzzMessages(f *testing.F) {
	all := samples()
	names := slices.Sorted(maps.Keys(all))
	for i, name := range names {
		b, err := json.Marshal(all[name])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), b)
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		kind := reflect.TypeOf(all[names[int(which)%len(names)]])
		v := reflect.New(kind)
		if Decode(b, v.Interface()) != nil {
			return
		}
		var faults []error
		if c, ok := v.Interface().(interface{ Check() error }); ok {
			faults = append(faults, c.Check())
		}
		if c, ok := v.Interface().(interface{ Tidy() error }); ok {
			faults = append(faults, c.Tidy())
		}
		if errors.Join(faults...) != nil {
			return
		}
		once, err := json.Marshal(v.Interface())
		if err != nil {
			return // raw JSON inside that is none
		}
		again := reflect.New(kind)
		if err := Decode(once, again.Interface()); err != nil {
			t.Fatalf("%s reads once, but not what is written of it: %v", once, err)
		}
		twice, err := json.Marshal(again.Interface())
		if err != nil || string(twice) != string(once) {
			t.Fatalf("%s becomes %s, %v", once, twice, err)
		}
	})
}
