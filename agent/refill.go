package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast/agent/camera"
	"holdfast/agent/fill"
	"holdfast/agent/media"
	"holdfast/shared/id"
)

// This file holds what the configuration says of archives, and what the room that fills gaps gets of it.

// Archive is where a source replays what it keeps of the main stream: a recorder's disks, a camera's card.
type Archive struct {
	URL  URL    `yaml:"url"`  // RTSP; with {start} and {end} in it, or asked by Range: clock=
	Name string `yaml:"name"` // of the place, as what is filled from it is marked; "archive" when empty
	Keep Days   `yaml:"keep"` // how far back it goes
	Zone string `yaml:"zone"` // of the times in the URL; UTC when empty
	Rate Rate   `yaml:"rate"` // that is fetched at most
}

// defaults of an archive: what a card holds, and a third of the slowest network that cameras have.
const (
	archiveKeep = Days(72 * time.Hour)
	archiveRate = Rate(40_000_000)
)

func (a *Archive) fill() {
	if a.Name == "" {
		a.Name = "archive"
	}
	if a.Keep == 0 {
		a.Keep = archiveKeep
	}
	if a.Rate == 0 {
		a.Rate = archiveRate
	}
}

func (a *Archive) check(f *faults, at string, src *Source) {
	f.when(a.URL.URL == nil, at+".url", "is missing: the RTSP URL of the recordings")
	f.when(!validKey(a.Name), at+".name", "want 1 to 40 lower-case letters, digits or dashes, for example recorder")
	f.when(a.Rate < 1_000_000, at+".rate", "want at least 1Mbit")
	_, err := time.LoadLocation(a.Zone)
	f.when(err != nil, at+".zone", "is no time zone: want a name like Europe/Berlin")
	if a.URL.URL == nil {
		return
	}
	if _, err := a.open(src); err != nil && !errors.Is(err, errFingerprint) {
		f.when(true, at+".url", err.Error())
	}
}

// open makes the camera room's description of the archive; login and certificate are its source's.
func (a *Archive) open(src *Source) (camera.ArchiveConfig, error) {
	over := *src
	over.Transport = "tcp"
	s, err := over.open(a.URL)
	if err == nil {
		err = camera.CheckArchive(s)
	}
	if err != nil {
		return camera.ArchiveConfig{}, err
	}
	zone, err := time.LoadLocation(a.Zone)
	return camera.ArchiveConfig{Source: s, Zone: zone, Rate: int64(a.Rate) / 8}, err
}

// fillConfig offers the gaps of each recorded main stream to the archives of its camera's sources.
func (h *house) fillConfig() (fill.Config, error) {
	c := fill.Config{Site: h.me.Site, Key: h.me.EvidenceKey(), Offset: h.clockOffset, Offers: map[id.Stream][]fill.Offer{}}
	for _, cam := range h.cfg.Cameras {
		stream := id.Stream{Camera: h.keys[cam.Key].ID, Kind: id.Main}
		if !slices.Contains(h.cameras.Recorded(), stream) {
			continue
		}
		for _, src := range cam.sources() {
			if src.Archive == nil {
				continue
			}
			a, err := src.Archive.open(src)
			if err != nil {
				return c, fmt.Errorf("camera %s: archive: %w", cam.Key, err)
			}
			a.Camera = stream.Camera
			keep := time.Duration(src.Archive.Keep)
			if cam.Keep > 0 {
				keep = min(keep, time.Duration(cam.Keep))
			}
			c.Offers[stream] = append(c.Offers[stream], fill.Offer{Name: src.Archive.Name, Keep: keep, Source: past{h.cameras.NewArchive(a)}})
		}
	}
	return c, nil
}

// past is an archive as the room that fills gaps wants it.
type past struct{ *camera.Archive }

// Fetch implements fill.Source.
func (p past) Fetch(ctx context.Context, fromUs, toUs int64, take func(f media.Frame, wallUs int64, guessed bool) error) error {
	err := p.Archive.Fetch(ctx, fromUs, toUs, take)
	switch {
	case errors.Is(err, camera.ErrNoFootage):
		return &because{err, fill.ErrNothing}
	case errors.Is(err, camera.ErrBusy):
		return &because{err, fill.ErrBusy}
	}
	return err
}

// because keeps the words of an error and gives it a meaning.
type because struct{ words, means error }

func (b *because) Error() string   { return b.words.Error() }
func (b *because) Unwrap() []error { return []error{b.words, b.means} }
