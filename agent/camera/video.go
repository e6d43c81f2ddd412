package camera

import (
	"bytes"
	"fmt"

	"holdfast/shared/mp4"
)

// maxSwaps is how often a stream may change its parameter sets within swapSpan before the changes are left in
// the stream instead of beginning a new segment each time: some cameras flip between two sets that mean the same.
// Players want a new segment for pictures of another size, so that these may change more often.
const (
	maxSwaps   = 3
	maxResizes = 16
	swapSpanUs = 30_000_000
)

// video turns the access units of one session into frames: parameter sets apart, decoding times computed.
type video struct {
	codec codec
	now   sets      // in force
	want  sets      // seen last; in force from the next key frame on
	track mp4.Track // for now; the zero Track before any usable sets
	fault error     // why there is no track yet
	swaps []int64   // arrivals of the last changes
	loose bool      // sets other than those in force were left in the stream: all of them are, from then on

	time    timeline
	extract extractor
	first   bool // no frame yet
	keyed   bool // there was a key frame: before it nothing can be decoded, nor put into order
	lastDTS int64
	maxPTS  int64
	back    int  // presentation times that ran backwards where the extractor gave up
	bframes bool // display order differs from decoding order
}

func newVideo(c codec, known sets, bframes bool) *video {
	return &video{
		codec: c, want: known, bframes: bframes, extract: c.extract(), first: true, time: timeline{rate: videoRate},
		fault: fmt.Errorf("the camera has sent no key frame"),
	}
}

// access is an access unit whose parameter sets have been taken out.
type access struct {
	units [][]byte
	sets  [][]byte // those that differ from what is in force
	slice bool
	key   bool
}

// sort takes an access unit apart. It reuses units.
func (v *video) sort(units [][]byte) access {
	a := access{units: units[:0]}
	var seen [nalPPS + 1]bool
	for _, u := range units {
		if len(u) < v.codec.least {
			continue
		}
		switch k := v.codec.kind(u); k {
		case nalVPS, nalSPS, nalPPS:
			// A second set of one kind has another number and is needed where it is.
			if seen[k] {
				a.units = append(a.units, u)
				continue
			}
			seen[k] = true
			if v.loose || string(*v.now.slot(k)) != string(u) {
				a.sets = append(a.sets, u)
			}
			if want := v.want.slot(k); !bytes.Equal(*want, u) {
				*want = bytes.Clone(u) // a part of u would keep the whole picture in memory
			}
		case nalDrop:
		case nalKey:
			a.key, a.slice = true, true
			a.units = append(a.units, u)
		case nalSlice:
			a.slice = true
			a.units = append(a.units, u)
		default:
			a.units = append(a.units, u)
		}
	}
	return a
}

// adopt puts the sets that were seen last in force if they differ. It says whether they did.
func (v *video) adopt(arrivalUs int64) bool {
	if v.track.Codec != 0 && v.want.equal(&v.now) && !v.loose {
		return false
	}
	track, err := v.codec.track(&v.want)
	if err != nil {
		v.fault = err
		return false
	}
	if v.track.Codec != 0 {
		for len(v.swaps) > 0 && arrivalUs-v.swaps[0] > swapSpanUs {
			v.swaps = v.swaps[1:]
		}
		limit := maxSwaps
		if track.Width != v.track.Width || track.Height != v.track.Height {
			limit = maxResizes
		}
		if len(v.swaps) >= limit {
			v.loose = true
			return false
		}
		v.swaps = append(v.swaps, arrivalUs)
		v.bframes = false
	}
	v.now, v.track, v.fault, v.loose = v.want, track, nil, false
	v.extract = v.codec.extract()
	return true
}

// decodeTime returns the decoding time of an access unit, which always grows, and its presentation time.
// When the order of the pictures can't be understood it falls back to the presentation times.
func (v *video) decodeTime(a *access, pts int64) (dts, shown int64) {
	v.keyed = v.keyed || a.key
	units := a.units
	if a.key {
		units = append(v.now.list(), a.units...)
	}
	dts, err := v.extract.Extract(units, pts)
	usual := v.time.usual()
	switch {
	case !v.keyed:
		dts = pts
	case err == nil:
		if !v.first && !a.key && pts-dts > usual/2 {
			v.bframes = true
		}
	default:
		if a.key {
			v.extract = v.codec.extract()
		}
		if pts < v.maxPTS {
			v.back++
		}
		v.bframes = v.bframes || v.back >= 8
		dts = pts
		if v.bframes && pts-v.lastDTS < videoRate {
			dts = min(pts, v.lastDTS+usual)
		}
	}
	if !v.first && dts <= v.lastDTS {
		dts = v.lastDTS + 1
	}
	if !v.bframes || !v.keyed {
		pts = max(pts, dts)
	}
	v.first, v.lastDTS, v.maxPTS = false, dts, max(v.maxPTS, pts)
	return dts, pts
}
