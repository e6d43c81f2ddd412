package smoke

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// machine is a small Debian, or what this machine runs of its family, that boots with systemd as process 1 and has
// a network of its own that leads nowhere. Its disk is a layer over a shared image.
type machine struct {
	t      *testing.T
	image  string
	dir    string // "upper" keeps what the machine writes, also over a reboot
	name   string
	nspawn *exec.Cmd
	ended  chan struct{}
	leader int // process 1, as seen from here
}

// image returns the folder of the base system, which is made once.
func image(t *testing.T) string {
	t.Helper()
	packages(t, map[string]string{"systemd-nspawn": "systemd-container", "mmdebstrap": "mmdebstrap"})
	release := strings.TrimSpace(must(t, nil, "sh", "-c", ". /etc/os-release && echo $VERSION_CODENAME"))
	dir := filepath.Join(cache(t), fmt.Sprintf("%s-%s-1", release, runtime.GOARCH))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	mirror := ""
	for line := range strings.Lines(must(t, nil, "apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages")) {
		if f := strings.Fields(line); len(f) == 3 && f[1] == release && f[2] == "main" {
			mirror = f[0]
		}
	}
	if mirror == "" {
		t.Fatalf("apt on this machine names no mirror for %s main", release)
	}
	began := time.Now()
	// What the packages depend on is in the image: installing them needs no network then.
	must(t, nil, "mmdebstrap", "--quiet", "--variant=minbase", "--include=systemd,systemd-sysv,dbus,adduser,ca-certificates,init-system-helpers",
		release, dir+".new", mirror)
	if err := os.Rename(dir+".new", dir); err != nil {
		t.Fatal(err)
	}
	t.Logf("made the image of %s in %v", release, time.Since(began).Round(time.Second))
	return dir
}

// newMachine makes a machine that is off; it goes with the test.
func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("a machine of its own needs root: sudo make smoke")
	}
	m := &machine{t: t, image: image(t), dir: t.TempDir(), name: fmt.Sprintf("holdfast-smoke-%d", os.Getpid())}
	for _, d := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(m.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() && m.leader != 0 {
			t.Logf("%s\n%s", tail(filepath.Join(m.dir, "console.log"), 20), m.try("journalctl --no-pager -b -n 80"))
		}
		m.off()
	})
	return m
}

// put copies a file into the machine, which must be off.
func (m *machine) put(from, to string) {
	m.t.Helper()
	must(m.t, nil, "install", "-D", "-m", "0755", from, filepath.Join(m.dir, "upper", to))
}

// on boots the machine and returns when systemd says that it runs.
func (m *machine) on() {
	m.t.Helper()
	console, err := os.OpenFile(filepath.Join(m.dir, "console.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { _ = console.Close() }()
	// The layer is mounted where nobody else sees it: it is gone with the last process.
	script := `mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root" && shift 2 && exec "$@"`
	args := []string{
		"--mount", "--", "sh", "-c", script, "sh", m.image, m.dir,
		"systemd-nspawn", "--quiet", "--boot", "--private-network", "--console=pipe", "--directory", filepath.Join(m.dir, "root"),
		"--machine", m.name,
	}
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		args = append(args, "--register=no", "--keep-unit") // no systemd here that could be asked
	}
	m.nspawn = exec.CommandContext(context.WithoutCancel(m.t.Context()), "unshare", args...)
	m.nspawn.Stdout, m.nspawn.Stderr = console, console
	m.nspawn.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m.ended = make(chan struct{})
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // it dies with this thread, and this thread with the test
		defer runtime.UnlockOSThread()
		err := m.nspawn.Start()
		started <- err
		if err == nil {
			_ = m.nspawn.Wait() // how it ended is told by the machine's own journal
			close(m.ended)
		}
	}()
	if err := <-started; err != nil {
		m.t.Fatal(err)
	}
	await(m.t, 60*time.Second, func() string {
		select {
		case <-m.ended:
			m.t.Fatal("the machine does not boot\n" + tail(filepath.Join(m.dir, "console.log"), 30))
		default:
		}
		if m.leader = m.child(); m.leader == 0 {
			return "there is no process 1 yet"
		}
		if state := m.try("systemctl is-system-running"); state != "running" {
			return "systemd says: " + state + "\n" + m.try("systemctl --failed --no-legend")
		}
		return ""
	})
}

// child returns the only child of the process that runs the machine, 0 if there is none yet.
func (m *machine) child() int {
	pid := m.nspawn.Process.Pid
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return child
}

// off shuts the machine down as its power button does, and returns when it is off.
func (m *machine) off() {
	if m.nspawn == nil {
		return
	}
	_ = m.nspawn.Process.Signal(syscall.SIGTERM) // it may be off already
	limit := time.NewTimer(60 * time.Second)
	defer limit.Stop()
	select {
	case <-m.ended:
	case <-limit.C:
		m.t.Errorf("the machine does not shut down\n%s", tail(filepath.Join(m.dir, "console.log"), 30))
		_ = m.nspawn.Process.Kill()
		<-m.ended
	}
	m.nspawn, m.leader = nil, 0
	// Where no systemd looks after them, empty control groups and a folder stay behind.
	_ = os.Remove("/run/systemd/nspawn/propagate/" + m.name)
	for _, pattern := range []string{"*/payload/*", "*/payload", "*/supervisor", "payload/*", "payload", "supervisor"} {
		groups, _ := filepath.Glob("/sys/fs/cgroup/" + pattern) // the patterns are well-formed
		for _, g := range groups {
			_ = syscall.Rmdir(g) // one that is in use, or a file, stays
		}
	}
}

// command returns a shell script that runs in the machine as root.
func (m *machine) command(script string) *exec.Cmd {
	cmd := exec.CommandContext(context.WithoutCancel(m.t.Context()), "nsenter", "--target", strconv.Itoa(m.leader), "--all", "--", "sh", "-ec", script)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"}
	return cmd
}

// try runs a script and returns what it printed, whether it worked or not.
func (m *machine) try(script string) string {
	out, _ := m.command(script).CombinedOutput() // the text says it
	return strings.TrimSpace(string(out))
}

// run runs a script that must work and returns what it printed.
func (m *machine) run(t *testing.T, script string) string {
	t.Helper()
	out, err := m.command(script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// refused runs a script that must fail with the exit code and returns what it printed.
func (m *machine) refused(t *testing.T, code int, script string) string {
	t.Helper()
	cmd := m.command(script)
	out, _ := cmd.CombinedOutput() // the exit code says it
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		t.Fatalf("%s: %v, want exit code %d\n%s", script, cmd.ProcessState, code, out)
	}
	return strings.TrimSpace(string(out))
}

// write writes a file of the running machine, and keeps owner and permissions if it is there.
func (m *machine) write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/root%s", m.leader, path), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// show returns a property of a unit.
func (m *machine) show(unit, property string) string {
	return m.try("systemctl show --value -p " + property + " " + unit)
}

// dial connects to an address of the machine's network.
func (m *machine) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	out := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: a thread that has been in another network must not be used again
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", m.leader))
		if err != nil {
			out <- result{err: err}
			return
		}
		defer func() { _ = ns.Close() }()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			out <- result{err: fmt.Errorf("enter the machine's network: %w", err)}
			return
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		out <- result{conn, err}
	}()
	r := <-out
	return r.conn, r.err
}
