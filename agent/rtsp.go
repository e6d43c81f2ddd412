package agent

import (
	"strings"

	"holdfast/agent/live/restream"
	"holdfast/shared/id"
)

// RTSP says where programs of the site may watch its cameras.
type RTSP struct {
	Listen       string `yaml:"listen"` // host:port; empty: nowhere
	User         string `yaml:"user"`
	Password     Secret `yaml:"password"`
	PasswordFile string `yaml:"password_file"` // instead of password
}

func (r *RTSP) config() restream.Config {
	return restream.Config{Listen: r.Listen, User: r.User, Password: string(r.Password)}
}

func (r *RTSP) check(f *faults) {
	r.Password.fill(f, "live.rtsp", r.PasswordFile)
	err := r.config().Validate()
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		path, text, _ := strings.Cut(line, ": ")
		f.when(true, path, text)
	}
}

// cameraCalled finds a camera by its key or its ID.
func (h *house) cameraCalled(name string) (id.Camera, bool) {
	for key, k := range h.keys {
		if key == name || string(k.ID) == name {
			return k.ID, true
		}
	}
	return "", false
}
