package smoke

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/shared/wire"
	"holdfast/testenv/house"
)

const (
	agentUnit = "holdfast-agent.service"
	cloudUnit = "holdfast-cloud.service"
)

// debian is the story's world: a machine with the cloud, cameras and an agent, all of them real.
type debian struct {
	*machine
	newCode func(*testing.T) string
}

func TestDebianPackages(t *testing.T) {
	wanted(t, "debian")
	began := time.Now()
	old, next := t.TempDir(), t.TempDir()
	dist(t, old, "1.0.0", "holdfast-agent", "holdfast-cloud")
	dist(t, next, "1.0.1", "holdfast-agent")
	cams := program(t, old, "linux", "fakecam", "./testenv/fakecam/cmd/fakecam", "test")
	m := &debian{machine: newMachine(t)}
	t.Logf("built in %v", time.Since(began).Round(time.Second))
	m.put(deb(t, old, "holdfast-agent"), "/root/agent-1.0.0.deb")
	m.put(deb(t, next, "holdfast-agent"), "/root/agent-1.0.1.deb")
	m.put(deb(t, old, "holdfast-cloud"), "/root/cloud.deb")
	m.put(cams, "/usr/local/bin/fakecam")
	m.put(filepath.Join(old, "holdfast-agent-linux-"+runtime.GOARCH), "/opt/Holdfast agent/holdfast-agent")
	m.on()
	for _, part := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"the cloud's package serves at once", m.cloud},
		{"the agent's package is quiet before enrolment", m.install},
		{"enrolment starts the service", m.enrol},
		{"cameras are recorded", m.record},
		{"running is said when recording can start", m.ready},
		{"a crash is over in 3 s", m.crash},
		{"stop ends in order", m.stop},
		{"it comes back with the machine", m.reboot},
		{"an upgrade restarts it and keeps what was decided", m.upgrade},
		{"the cloud is restored from a backup", m.restore},
		{"a disk that the service may not write", m.disk},
		{"remove keeps footage and identity", m.remove},
		{"purge removes everything", m.purge},
		{"install without a package", m.byHand},
	} {
		step(t, part.name, part.do)
	}
}

func (m *debian) cloud(t *testing.T) {
	m.run(t, "systemd-analyze verify --man=no /lib/systemd/system/basic.target && apt-get install -y /root/cloud.deb")
	if state := m.show(cloudUnit, "ActiveState"); state != "active" {
		t.Fatalf("the cloud is %s", state)
	}
	link := m.run(t, "journalctl -u holdfast-cloud -g 'Set up' -o cat")
	owner := house.NewClient("http://127.0.0.1:8080")
	owner.HTTP.Transport = &http.Transport{DialContext: m.dial}
	m.newCode = found(t, owner, link)
	if text := m.run(t, "stat -c '%U %a' /var/lib/holdfast-cloud /var/lib/holdfast-cloud/cloud.key /etc/default/holdfast-cloud"); text !=
		"holdfast-cloud 700\nholdfast-cloud 600\nroot 600" {
		t.Error(text)
	}
}

func (m *debian) install(t *testing.T) {
	out := m.run(t, "apt-get install -y /root/agent-1.0.0.deb")
	contains(t, out, "then run  holdfast-agent enrol --cloud ADDRESS CODE")
	if enabled := m.try("systemctl is-enabled holdfast-agent"); enabled != "enabled" {
		t.Errorf("the service is %s, want enabled", enabled)
	}
	if state := m.show(agentUnit, "ActiveState") + " " + m.show(agentUnit, "Result") + " " + m.show(agentUnit, "ConditionResult"); state != "inactive success no" {
		t.Errorf("before enrolment the service is %q, want it quiet", state)
	}
	if text := m.run(t, "stat -c '%U:%G %a' /etc/holdfast /etc/holdfast/holdfast.yaml /var/lib/holdfast"); text !=
		"root:holdfast 750\nroot:holdfast 640\nholdfast:holdfast 700" {
		t.Error(text)
	}
	// Older systemd does not know the keys that slow down a crash loop, and says so; it must say nothing else.
	known := "RestartSteps|RestartMaxDelaySec"
	if text := m.try("systemd-analyze verify --man=no holdfast-agent.service holdfast-cloud.service 2>&1 | grep -vE '" + known + "'"); text != "" {
		t.Error(text)
	}
	contains(t, m.run(t, "holdfast-agent config"), "is valid: 0 camera(s), 1 volume(s)")
	contains(t, m.refused(t, 1, "holdfast-agent start"), "this machine is not enrolled yet", "holdfast-agent enrol")
	contains(t, m.refused(t, 1, "holdfast-agent status"), "no agent answers on 127.0.0.1:8750")
	contains(t, m.refused(t, 1, "holdfast-agent install"), "is installed already")
	contains(t, m.refused(t, 1, "holdfast-agent uninstall"), "belongs to the package", "apt remove holdfast-agent")
	contains(t, m.refused(t, 1, "setpriv --reuid nobody --regid nogroup --clear-groups holdfast-agent config"), "sudo")
}

func (m *debian) enrol(t *testing.T) {
	code := m.newCode(t)
	contains(t, m.refused(t, 1, "holdfast-agent enrol --cloud http://127.0.0.1:8080 "+wire.NewCode().Text()), "the cloud does not take this code")
	out := m.run(t, "holdfast-agent enrol --cloud http://127.0.0.1:8080 "+code)
	contains(t, out, "as the agent of Branch 7", "The service is running.")
	if state := m.show(agentUnit, "ActiveState"); state != "active" {
		t.Fatalf("the service is %s", state)
	}
	// The unit's walls stand: no new privileges, system calls filtered.
	if text := m.run(t, "grep -E '^(NoNewPrivs|Seccomp):' /proc/"+m.show(agentUnit, "MainPID")+"/status"); text != "NoNewPrivs:\t1\nSeccomp:\t2" {
		t.Error(text)
	}
	if owners := m.run(t, "find /var/lib/holdfast ! -user holdfast -o -maxdepth 1 -perm /077"); owners != "" {
		t.Errorf("not the service's alone: %s", owners)
	}
	m.status(t, connected)
}

// answer is what "holdfast-agent status --json" prints, as far as the story needs it.
type answer struct {
	Version string
	Cloud   struct {
		Connected bool
		Text      string
	}
	Cameras []struct{ Name, State, Text string }
}

// status waits until what the running agent says is right: good returns what it still waits for.
func (m *debian) status(t *testing.T, good func(answer) string) {
	t.Helper()
	await(t, 60*time.Second, func() string {
		var a answer
		if text := m.try("holdfast-agent status --json"); json.Unmarshal([]byte(text), &a) != nil {
			return text
		}
		return good(a)
	})
}

func connected(a answer) string {
	if !a.Cloud.Connected {
		return "not connected: " + a.Cloud.Text
	}
	return ""
}

// configuration is the agent's, with the cameras that run in the machine.
func configuration(more string) string {
	var b strings.Builder
	b.WriteString("camera_networks: [127.0.0.0/8]\n" + more + "cameras:\n")
	for i := range 2 {
		fmt.Fprintf(&b, "  - {key: cam-%d, main: 'rtsp://127.0.0.1:8554/cam%d/main', user: holdfast, password: 's3cret %%d'}\n", i+1, i+1)
	}
	return b.String()
}

func (m *debian) record(t *testing.T) {
	m.cameras(t)
	m.write(t, "/etc/holdfast/holdfast.yaml", configuration("volumes: [{path: /var/lib/holdfast/video, free: 100MB}]\n"))
	contains(t, m.run(t, "holdfast-agent config"), "2 camera(s), 1 volume(s)")
	m.run(t, "systemctl restart holdfast-agent")
	m.recording(t)
}

// disk mounts what an administrator mounts: a disk that belongs to root. It is said, and mending it is enough.
func (m *debian) disk(t *testing.T) {
	m.run(t, "mkdir -p /mnt/disk1 && mount -t tmpfs -o size=300m,mode=755 tmpfs /mnt/disk1 && cp -p /etc/holdfast/holdfast.yaml /root/kept.yaml")
	m.write(t, "/etc/holdfast/holdfast.yaml", configuration("volumes: [{path: /mnt/disk1, free: 100MB}]\n"))
	m.run(t, "systemctl restart holdfast-agent")
	await(t, 30*time.Second, func() string {
		if text := m.try("holdfast-agent status"); !strings.Contains(text, "Problem  disk: /mnt/disk1") || !strings.Contains(text, "permission denied") {
			return text
		}
		return ""
	})
	m.run(t, "chown holdfast /mnt/disk1")
	await(t, 60*time.Second, func() string {
		if m.try("find /mnt/disk1 -name '*.mp4' -size +50k") == "" {
			return m.try("holdfast-agent status")
		}
		return ""
	})
	m.run(t, "holdfast-agent stop && cp -p /root/kept.yaml /etc/holdfast/holdfast.yaml && holdfast-agent start")
	m.recording(t)
}

// cameras starts the cameras, which end with the machine.
func (m *debian) cameras(t *testing.T) {
	t.Helper()
	m.run(t, "systemd-run --quiet --unit=cameras fakecam -listen 127.0.0.1:8554 -cameras 2 -user holdfast -password 's3cret %d'")
}

// recording waits until every camera is.
func (m *debian) recording(t *testing.T) {
	t.Helper()
	m.status(t, func(a answer) string {
		if len(a.Cameras) != 2 {
			return fmt.Sprintf("%d cameras", len(a.Cameras))
		}
		for _, c := range a.Cameras {
			if c.State != "ok" {
				return c.Name + ": " + c.Text
			}
		}
		return ""
	})
}

// ready makes the start wait for its configuration: the service must not be active before.
func (m *debian) ready(t *testing.T) {
	m.run(t, `systemctl stop holdfast-agent
		mv /etc/holdfast/holdfast.yaml /root/kept.yaml
		mkfifo /etc/holdfast/holdfast.yaml && chown root:holdfast /etc/holdfast/holdfast.yaml && chmod 640 /etc/holdfast/holdfast.yaml
		systemctl start --no-block holdfast-agent`)
	await(t, 10*time.Second, func() string {
		if m.show(agentUnit, "MainPID") == "0" {
			return "the service has no process"
		}
		return ""
	})
	if state := m.show(agentUnit, "ActiveState"); state != "activating" {
		t.Errorf("the service is %s before it can record", state)
	}
	m.run(t, `cat /root/kept.yaml > /etc/holdfast/holdfast.yaml
		rm /etc/holdfast/holdfast.yaml
		cp -p /root/kept.yaml /etc/holdfast/holdfast.yaml && chown root:holdfast /etc/holdfast/holdfast.yaml`)
	await(t, 10*time.Second, func() string {
		if state := m.show(agentUnit, "ActiveState"); state != "active" {
			return "the service is " + state
		}
		return ""
	})
	m.recording(t)
}

func (m *debian) crash(t *testing.T) {
	before := m.show(agentUnit, "MainPID")
	began := time.Now()
	m.run(t, "kill -9 "+before)
	await(t, 10*time.Second, func() string {
		if pid := m.show(agentUnit, "MainPID"); pid == before || pid == "0" || m.show(agentUnit, "ActiveState") != "active" {
			return "not active again"
		}
		return ""
	})
	took := time.Since(began)
	t.Logf("active again after %v", took.Round(10*time.Millisecond))
	if took > 3*time.Second {
		t.Errorf("it took %v, want 3 s at most", took)
	}
	m.recording(t)
}

func (m *debian) stop(t *testing.T) {
	began := time.Now()
	contains(t, m.run(t, "holdfast-agent stop"), "The service has stopped.")
	t.Logf("stopped in %v", time.Since(began).Round(10*time.Millisecond))
	m.endedWell(t)
	contains(t, m.run(t, "holdfast-agent start"), "The service is running.")
	m.recording(t)
}

// endedWell checks how the service ended, and what it has left on the disk.
func (m *debian) endedWell(t *testing.T) {
	t.Helper()
	if got := m.show(agentUnit, "ActiveState") + " " + m.show(agentUnit, "Result") + " " + m.show(agentUnit, "ExecMainStatus"); got != "inactive success 0" {
		t.Errorf("it ended %q", got)
	}
	t.Log(m.run(t, "holdfast-agent check --level full"))
	if owners := m.run(t, "find /var/lib/holdfast ! -user holdfast"); owners != "" {
		t.Errorf("the check as root took from the service: %s", owners)
	}
}

func (m *debian) reboot(t *testing.T) {
	m.off()
	m.on()
	if state := m.show(agentUnit, "ActiveState"); state != "active" {
		t.Fatalf("after the boot the service is %s", state)
	}
	contains(t, m.run(t, "journalctl -b -1 -u holdfast-agent -o cat"), "agent ends", "Deactivated successfully")
	m.cameras(t)
	m.recording(t)
}

func (m *debian) upgrade(t *testing.T) {
	sum := m.run(t, "sha256sum /etc/holdfast/holdfast.yaml")
	before := m.show(agentUnit, "MainPID")
	m.run(t, "apt-get install -y /root/agent-1.0.1.deb")
	if pid := m.show(agentUnit, "MainPID"); pid == before || pid == "0" || m.show(agentUnit, "ActiveState") != "active" {
		t.Errorf("process %s before and %s after the upgrade", before, pid)
	}
	m.status(t, func(a answer) string {
		if a.Version != "1.0.1" {
			return "version " + a.Version + " runs"
		}
		return ""
	})
	if after := m.run(t, "sha256sum /etc/holdfast/holdfast.yaml"); after != sum {
		t.Errorf("the configuration has changed: %s, was %s", after, sum)
	}
	// Whoever switched it off finds it off after the next upgrade, too.
	m.run(t, "systemctl disable --now --quiet holdfast-agent && apt-get install -y --reinstall /root/agent-1.0.1.deb")
	if state := m.try("systemctl is-enabled holdfast-agent") + " " + m.show(agentUnit, "ActiveState"); state != "disabled inactive" {
		t.Errorf("a service that was switched off is %q after an upgrade", state)
	}
	m.run(t, "systemctl enable --now --quiet holdfast-agent")
	m.recording(t)
}

func (m *debian) restore(t *testing.T) {
	contains(t, m.run(t, "holdfast-cloud backup /root/cloud.zip"), "Wrote /root/cloud.zip")
	m.run(t, `systemctl stop holdfast-cloud
		mv /var/lib/holdfast-cloud /root/lost
		install -d -m 0700 -o holdfast-cloud -g holdfast-cloud /var/lib/holdfast-cloud
		holdfast-cloud restore /root/cloud.zip
		systemctl start holdfast-cloud`)
	contains(t, m.refused(t, 1, "holdfast-cloud restore /root/cloud.zip"), "holds a cloud's identity already")
	// The agent comes back by itself: it knows the restored cloud by its key.
	session := "journalctl -u holdfast-cloud _PID=" + m.show(cloudUnit, "MainPID") + " -o cat -g 'session opened'"
	await(t, 60*time.Second, func() string {
		if text := m.try(session); !strings.Contains(text, "session opened") {
			return "no session: " + text
		}
		return ""
	})
}

func (m *debian) remove(t *testing.T) {
	m.run(t, "apt-get remove -y holdfast-agent")
	m.endedOrGone(t)
	kept := m.run(t, "ls /var/lib/holdfast /etc/holdfast")
	contains(t, kept, "identity.json", "ledger.db", "video", "holdfast.yaml")
	// The same machine again: nothing has to be typed.
	out := m.run(t, "apt-get install -y /root/agent-1.0.1.deb")
	if strings.Contains(out, "enrol") {
		t.Errorf("an enrolled machine is asked to enrol:\n%s", out)
	}
	m.recording(t)
}

// endedOrGone checks that neither process nor unit is left.
func (m *debian) endedOrGone(t *testing.T) {
	t.Helper()
	if left := m.try("grep -lx holdfast-agent /proc/[0-9]*/comm 2>/dev/null || true"); left != "" {
		t.Errorf("process %s is left", left)
	}
	if state := m.show(agentUnit, "LoadState"); state != "not-found" {
		t.Errorf("the unit is %s", state)
	}
	if failed := m.run(t, "systemctl --failed --no-legend"); failed != "" {
		t.Error(failed)
	}
}

func (m *debian) purge(t *testing.T) {
	m.run(t, "apt-get purge -y holdfast-agent")
	m.endedOrGone(t)
	if left := m.try("find /var/lib/holdfast /etc/holdfast /etc/systemd /var/lib/systemd/deb-systemd-helper-* -name '*holdfast*' ! -name '*holdfast-cloud*' 2>/dev/null"); left != "" {
		t.Errorf("left: %s", left)
	}
	if state := m.run(t, "dpkg-query -W -f '${Status}' holdfast-agent 2>/dev/null || echo gone"); state != "gone" {
		t.Errorf("the package is %s", state)
	}
}

// byHand installs the program without a package, from a folder with a blank in its name.
func (m *debian) byHand(t *testing.T) {
	const agent = "'/opt/Holdfast agent/holdfast-agent' --config '/opt/Holdfast agent/100%.yaml' "
	contains(t, m.refused(t, 1, agent+"start"), "read configuration")
	m.write(t, "/opt/Holdfast agent/100%.yaml", configuration("data: '/srv/Holdfast data'\nvolumes: [{path: /srv/video, free: 100MB}]\n"))
	contains(t, m.refused(t, 1, agent+"start"), "not installed", "holdfast-agent install")
	contains(t, m.run(t, agent+"install"), "Installed. Next:  holdfast-agent enrol")
	contains(t, m.run(t, agent+"enrol --cloud http://127.0.0.1:8080 "+m.newCode(t)), "The service is running.")
	if enabled := m.try("systemctl is-enabled holdfast-agent"); enabled != "enabled" {
		t.Errorf("the service is %s, want enabled", enabled)
	}
	pid, err := strconv.Atoi(m.show(agentUnit, "MainPID"))
	if err != nil || pid == 0 {
		t.Fatalf("process %d, %v", pid, err)
	}
	await(t, 30*time.Second, func() string { return m.try(agent + "status | grep -v '^Camera' | grep -i problem || true") })
	contains(t, m.run(t, agent+"stop"), "has stopped")
	contains(t, m.run(t, agent+"start"), "is running")
	contains(t, m.run(t, agent+"uninstall"), "Footage and identity stay")
	m.endedOrGone(t)
	contains(t, m.run(t, "ls '/srv/Holdfast data'"), "identity.json")
	contains(t, m.refused(t, 1, agent+"stop"), "not installed")
}
