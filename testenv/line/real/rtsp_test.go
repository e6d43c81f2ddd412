package real

import (
	"fmt"
	"os/exec"
	"testing"

	"holdfast/testenv/house"
)

// TestProgramsOfTheSiteWatch has a program that knows nothing of Holdfast watch a camera by RTSP.
func TestProgramsOfTheSiteWatch(t *testing.T) {
	addr, err := house.FreeAddr(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	open(t, house.Setup{Branches: []house.BranchPlan{{
		Name: "Programs", Cameras: []house.CameraPlan{{Key: "dock", Name: "Dock", Place: "dock"}},
		Live: fmt.Sprintf("rtsp: {listen: %q, user: viewer, password: s3cret}", addr),
	}}})
	watch := func(login string) error {
		out, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-rtsp_transport", "tcp",
			"-i", "rtsp://"+login+addr+"/dock/main", "-frames:v", "50", "-f", "null", "-").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if err := watch("viewer:s3cret@"); err != nil {
		t.Error(err)
	}
	if err := watch(""); err == nil {
		t.Error("a program without a password watches")
	}
}
