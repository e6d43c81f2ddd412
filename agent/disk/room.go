package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"runtime"
	"time"
)

const (
	// ahead is how many seconds of writing are kept free at least: what retention and the next look may take.
	ahead = 10 * time.Second
	// fullRest is how long a full volume gets no new file. It is short, for retention is at work on it.
	fullRest = 2 * time.Second
	nag      = time.Second // between two calls for room
)

// room is what a volume knows of its space between two looks.
type room struct {
	names    int64     // files that the file system can still hold
	allNames int64     // and in all; 0 where it has no such bound
	wrote    int64     // bytes since the last look
	rate     int64     // bytes a second, by the last looks
	looked   time.Time // the last one
	refused  bool      // the system found no room for a file or a write, and nothing was created since
	held     bool      // retention has nothing left that it may delete
	called   time.Time // for room, the last time
}

// OnLow sets the function that hears when a volume's free space has come near its reserve, and when the system
// found no room on it: at most once a second and volume, from the goroutine that writes; it must not wait. It must
// be called before Run, at most once.
func (d *Disk) OnLow(fn func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.low = fn
}

// Hold says that retention may delete nothing more on a volume although room is needed: new video is refused with
// ErrHeld until held is false again.
func (d *Disk) Hold(volume string, held bool) {
	if v, err := d.volume(volume); err == nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.room.held = held
	}
}

// Measure looks at a volume's free space at once.
func (d *Disk) Measure(volume string) {
	if v, err := d.volume(volume); err == nil {
		v.measure()
	}
}

// measure asks the system for the free space. What was known stays when it can't say: a file system that can't be
// measured may still take video.
func (v *volume) measure() {
	space, err := v.disk.cfg.FS.Usage(v.cfg.Path)
	if err != nil {
		v.disk.log.Warn("free space can't be measured", "path", v.cfg.Path, "error", err)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.total, v.free = space.Total, space.Free
	v.room.allNames, v.room.names = space.Names, space.FreeNames
}

// pace takes the rate of writing since the look before.
func (v *volume) pace(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if since := now.Sub(v.room.looked); !v.room.looked.IsZero() && since > 0 {
		rate := int64(float64(v.room.wrote) / since.Seconds())
		v.room.rate = max(rate, (v.room.rate+rate)/2)
	}
	v.room.looked, v.room.wrote = now, 0
}

// took counts what was written, so that free space is known between two looks.
func (v *volume) took(bytes int64) {
	v.mu.Lock()
	v.free -= bytes
	v.room.wrote += bytes
	low := v.total > 0 && v.free < v.reserve()
	v.mu.Unlock()
	if low {
		v.call()
	}
}

// created notes a new file.
func (v *volume) created() {
	v.mu.Lock()
	v.room.refused = false
	v.room.names--
	low := v.room.allNames > 0 && v.room.names < v.spareNames()
	v.mu.Unlock()
	if low {
		v.call()
	}
}

// removed gives the volume another chance at once after files have gone.
func (v *volume) removed() {
	v.measure()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.room.refused {
		v.restTill = time.Time{}
	}
}

// call asks for room.
func (v *volume) call() {
	now := time.Now()
	v.mu.Lock()
	soon := !v.room.called.IsZero() && now.Sub(v.room.called) < nag
	if !soon {
		v.room.called = now
	}
	v.mu.Unlock()
	v.disk.mu.Lock()
	low := v.disk.low
	v.disk.mu.Unlock()
	if !soon && low != nil {
		low()
	}
}

// failed keeps new files away from the volume for a while. What the system says of a full disk is believed more
// than any measurement.
func (v *volume) failed(err error) error {
	switch {
	case errors.Is(err, ErrFull): // by its own measure: the volume is no worse than that says
		v.call()
		return err
	case !isFull(err):
		err = v.hint(err)
		v.rest(err, v.disk.cfg.Rest)
		return err
	}
	err = fmt.Errorf("%w: %w", ErrFull, err)
	v.rest(err, fullRest)
	v.mu.Lock()
	v.room.refused = true
	v.mu.Unlock()
	v.call()
	return err
}

// base is what the configuration wants to stay free.
func (v *volume) base() int64 {
	if v.cfg.Free > 0 {
		return v.cfg.Free
	}
	return max(minReserve, v.total/20)
}

// reserve is the free space below which old video makes room: the configured one, and never less than what is
// written in ten seconds.
func (v *volume) reserve() int64 {
	return max(v.base(), min(v.room.rate*int64(ahead/time.Second), v.total/4))
}

// floor is the free space below which no video is written, so that ledger and logs never run out of it.
func (v *volume) floor() int64 { return v.base() / 4 }

// spareNames is how many names stay free where a file system can hold only so many.
func (v *volume) spareNames() int64 { return min(max(v.room.allNames/50, 8), 1000) }

// lacking says why nothing more may be written now, or nil.
func (v *volume) lacking() error {
	switch {
	case v.total == 0 || v.free >= v.floor():
		return nil
	case v.room.held:
		return ErrHeld
	}
	return ErrFull
}

// hint says who needs which right when a folder can't be written for lack of one.
func (v *volume) hint(err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	name := "this service's user"
	if me, userErr := user.Current(); userErr == nil {
		name = me.Username
	}
	if runtime.GOOS == "windows" {
		return fmt.Errorf("%w (the agent runs as %s, which needs the right to change %s)", err, name, v.cfg.Path)
	}
	return fmt.Errorf("%w (the agent runs as %s, which may not write there: run  chown -R %s %s  as root)", err, name, name, v.cfg.Path)
}
