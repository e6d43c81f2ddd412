package fakenvr

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// nowhere is the host in the addresses of the services.
const nowhere = "http://198.51.100.99:8999"

// Paths of the services behind the device's own.
const (
	mediaPath = "/onvif/media?v=1"
	ptzPath   = "/onvif/ptz_service"
)

// answer does what a request asks for, and returns what stands inside the answer.
func (d *Device) answer(path, action string, ask *elem, k Knobs) (string, *refusal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, action)
	unknown := &refusal{http.StatusBadRequest, "ActionNotSupported", "Action not implemented"}
	switch path {
	case "/onvif/device_service":
		return d.device(action, k, unknown)
	case "/onvif/media":
		return d.media(action, ask, k, unknown)
	case ptzPath:
		if k.Fixed {
			return "", unknown
		}
		return d.ptz(action, ask, k, unknown)
	}
	return "", unknown
}

func (d *Device) device(action string, k Knobs, unknown *refusal) (string, *refusal) {
	switch action {
	case "GetSystemDateAndTime":
		if k.NoClock {
			return "", unknown
		}
		t := time.Now().Add(k.Clock).UTC()
		return fmt.Sprintf(`<tds:SystemDateAndTime xmlns:tds="x"><tt:DateTimeType>Manual</tt:DateTimeType><tt:UTCDateTime><tt:Time><tt:Hour>%d</tt:Hour><tt:Minute>%d</tt:Minute>`+
			`<tt:Second>%d</tt:Second></tt:Time><tt:Date><tt:Year>%d</tt:Year><tt:Month>%d</tt:Month><tt:Day>%d</tt:Day></tt:Date></tt:UTCDateTime></tds:SystemDateAndTime>`,
			t.Hour(), t.Minute(), t.Second(), t.Year(), t.Month(), t.Day()), nil
	case "GetServices":
		if k.Old {
			return "", unknown
		}
		service := func(ns, path string) string {
			return "<Service><Namespace>" + ns + "</Namespace><XAddr>" + nowhere + path + "</XAddr></Service>"
		}
		out := service("http://www.onvif.org/ver10/device/wsdl", "/onvif/device_service") + service("http://www.onvif.org/ver10/media/wsdl", mediaPath)
		if !k.Fixed {
			out += service("http://www.onvif.org/ver20/ptz/wsdl", ptzPath)
		}
		return out, nil
	case "GetCapabilities":
		out := "<tt:Media><tt:XAddr>" + nowhere + mediaPath + "</tt:XAddr></tt:Media>"
		if !k.Fixed {
			out += "<tt:PTZ><tt:XAddr>" + nowhere + ptzPath + "</tt:XAddr></tt:PTZ>"
		}
		return "<Capabilities>" + out + "</Capabilities>", nil
	}
	return "", unknown
}

func (d *Device) media(action string, ask *elem, k Knobs, unknown *refusal) (string, *refusal) {
	switch action {
	case "GetProfiles":
		var b strings.Builder
		for i := range k.Sources {
			b.WriteString(profile(fmt.Sprintf("other-%d", i+1), fmt.Sprintf("source-%d", i+2), true))
		}
		for _, token := range slices.Sorted(maps.Keys(d.cfg.Streams)) {
			b.WriteString(profile(token, "source-1", !k.Fixed))
		}
		for i := range k.Profiles {
			b.WriteString(profile(fmt.Sprintf("more-%d", i+1), "source-1", false))
		}
		return b.String(), nil
	case "GetStreamUri":
		token := ask.text("ProfileToken")
		uri, known := d.cfg.Streams[token]
		if !known {
			uri = "rtsp://192.0.2.1/" + token
		}
		return "<MediaUri><tt:Uri>" + escaped(uri) + "</tt:Uri></MediaUri>", nil
	case "SetSynchronizationPoint":
		d.calls[len(d.calls)-1] += " " + ask.text("ProfileToken")
		return "", nil
	}
	return "", unknown
}

// profile is one profile; a real one is longer, which is filled up.
func profile(token, source string, head bool) string {
	out := `<Profiles token="` + token + `" fixed="true"><tt:Name>` + token + `</tt:Name><tt:VideoSourceConfiguration token="v"><tt:SourceToken>` + source +
		`</tt:SourceToken></tt:VideoSourceConfiguration><tt:VideoEncoderConfiguration token="e"><tt:Encoding>H264</tt:Encoding>` +
		strings.Repeat("<tt:Multicast><tt:Address><tt:Type>IPv4</tt:Type></tt:Address></tt:Multicast>", 10) + `</tt:VideoEncoderConfiguration>`
	if head {
		out += `<tt:PTZConfiguration token="p"><tt:NodeToken>node-` + source + `</tt:NodeToken></tt:PTZConfiguration>`
	}
	return out + `</Profiles>`
}

func (d *Device) ptz(action string, ask *elem, k Knobs, unknown *refusal) (string, *refusal) {
	moves := map[string]bool{"ContinuousMove": true, "RelativeMove": true, "GotoPreset": true, "GotoHomePosition": true}
	if k.Refuse && moves[action] {
		return "", &refusal{http.StatusInternalServerError, "Action", "The head is locked & waits for service"}
	}
	switch action {
	case "GetNode":
		return node(k), nil
	case "GetPresets":
		var b strings.Builder
		for _, p := range d.presets {
			fmt.Fprintf(&b, `<Preset token="%s"><tt:Name>%s</tt:Name></Preset>`, p.token, escaped(p.name))
		}
		return b.String(), nil
	case "ContinuousMove":
		v := ask.find("Velocity")
		lasting, err := time.ParseDuration(strings.ToLower(strings.TrimPrefix(ask.text("Timeout"), "PT")))
		if err != nil {
			lasting = time.Hour
		}
		d.move(Position{Pan: v.find("PanTilt").number("x"), Tilt: v.find("PanTilt").number("y"), Zoom: v.find("Zoom").number("x")}, lasting)
		return "", nil
	case "Stop":
		if k.StopFails > 0 {
			d.knobs.StopFails--
			return "", &refusal{http.StatusInternalServerError, "Action", "Busy"}
		}
		d.move(Position{}, 0)
		return "", nil
	case "RelativeMove":
		way := ask.find("Translation", "PanTilt")
		at := d.where(time.Now())
		// Half of what is seen is a tenth of its range, and less the closer it is.
		at.Pan += way.number("x") / 100 * 0.1 * (1 - at.Zoom)
		at.Tilt += way.number("y") / 100 * 0.1 * (1 - at.Zoom)
		d.jump(at)
		return "", nil
	case "GotoHomePosition":
		d.jump(Position{})
		return "", nil
	}
	return d.keep(action, ask, unknown)
}

// keep does what concerns presets.
func (d *Device) keep(action string, ask *elem, unknown *refusal) (string, *refusal) {
	token := ask.text("PresetToken")
	i := slices.IndexFunc(d.presets, func(p preset) bool { return p.token == token })
	gone := &refusal{http.StatusBadRequest, "NoToken", "The requested preset token does not exist"}
	switch action {
	case "SetPreset":
		d.made++
		token := "n" + strconv.Itoa(d.made)
		d.presets = append(d.presets, preset{token, ask.text("PresetName"), d.where(time.Now())})
		return "<PresetToken>" + token + "</PresetToken>", nil
	case "GotoPreset", "RemovePreset":
		if i < 0 {
			return "", gone
		}
		if action == "GotoPreset" {
			d.jump(d.presets[i].at)
		} else {
			d.presets = slices.Delete(d.presets, i, i+1)
		}
		return "", nil
	}
	return "", unknown
}

// node is what the head can do. Its field of view goes from -100 to 100.
func node(k Knobs) string {
	span := func(name, uri string, most int) string {
		r := fmt.Sprintf("<tt:Min>%d</tt:Min><tt:Max>%d</tt:Max>", -most, most)
		return "<tt:" + name + "><tt:URI>http://www.onvif.org/ver10/tptz/" + uri + "</tt:URI><tt:XRange>" + r + "</tt:XRange><tt:YRange>" + r + "</tt:YRange></tt:" + name + ">"
	}
	spaces := span("RelativePanTiltTranslationSpace", "PanTiltSpaces/TranslationGenericSpace", 1) +
		span("ContinuousPanTiltVelocitySpace", "PanTiltSpaces/VelocityGenericSpace", 1) + span("ContinuousZoomVelocitySpace", "ZoomSpaces/VelocityGenericSpace", 1)
	if !k.NoView {
		spaces += span("RelativePanTiltTranslationSpace", "PanTiltSpaces/TranslationSpaceFov", 100)
	}
	return "<PTZNode><tt:SupportedPTZSpaces>" + spaces + "</tt:SupportedPTZSpaces><tt:MaximumNumberOfPresets>300</tt:MaximumNumberOfPresets>" +
		"<tt:HomeSupported>true</tt:HomeSupported></PTZNode>"
}
