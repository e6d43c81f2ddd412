package agent

import (
	"fmt"
	"os"
	"runtime"
)

// Exposed returns a sentence for each file with passwords in it that every user of the machine can read: the
// configuration at path itself, and the password files that it names. Windows keeps such rights elsewhere: nothing is
// said there.
func Exposed(path string, cfg Config) []string {
	if runtime.GOOS == "windows" {
		return nil
	}
	files := map[string]bool{}
	var order []string
	add := func(file string, inside bool) {
		if file == "" && inside {
			file = path
		}
		if file != "" && !files[file] {
			files[file] = true
			order = append(order, file)
		}
	}
	for _, c := range cfg.Cameras {
		for _, s := range append([]Source{c.Source}, c.Fallback...) {
			add(s.PasswordFile, s.Password != "" || s.Main.hasPassword() || s.Sub.hasPassword())
		}
		if o := c.Onvif; o != nil {
			add(o.PasswordFile, o.Password != "")
		}
	}
	add(cfg.Live.RTSP.PasswordFile, cfg.Live.RTSP.Password != "")
	var out []string
	for _, file := range order {
		if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o004 != 0 {
			out = append(out, fmt.Sprintf("Every user of this machine can read the passwords in %s. Run:  chmod 640 %s", file, file))
		}
	}
	return out
}

// hasPassword says whether the URL itself holds a password.
func (u URL) hasPassword() bool {
	if u.URL == nil {
		return false
	}
	_, set := u.User.Password()
	return set
}
