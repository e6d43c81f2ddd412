package uml

import "encoding/json"

// Kinds of lines from the guest: the first byte of each.
const (
	LineReady  = 'O' // the machine is up; nothing else in the line
	LineReply  = 'R' // Reply, in JSON
	LineFrames = 'S' // frames that cameras sent: "number:frame:at_us:rtp", separated by blanks
	LineIdle   = 'I' // how long the machine had nothing to do since its start, in microseconds
	LineClaim  = 'C' // Claim, in JSON
	LineEvent  = 'E' // text of an event that the agent has acked
	LineEnded  = 'X' // Ended, in JSON
	LineAsk    = 'H' // Ask, in JSON
)

// Request is a line to the guest.
type Request struct {
	ID   int             `json:"id"`
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args,omitempty"`
}

// Reply answers the request with that ID.
type Reply struct {
	ID  int             `json:"id"`
	Err string          `json:"err,omitempty"`
	Out json.RawMessage `json:"out,omitempty"`
}

// Claim is what the agent's window says is safe, by the camera's name.
type Claim struct {
	AtUs    int64            `json:"at_us"`
	Durable map[string]int64 `json:"durable"`
}

// Ready is the answer to an Await.
type Ready struct {
	AtUs int64 `json:"at_us"` // all recorded then, by the window
	// Waited names, for each camera, the last moment at which the window said that it did not record.
	Waited map[string]int64 `json:"waited"`
}

// Ended says that a program has ended.
type Ended struct {
	Name string `json:"name"`
	Code int    `json:"code"`
	AtUs int64  `json:"at_us"`
}

// Ask is an HTTP request to be made by the host. Its answer comes back as a request to the guest, op "answer".
type Ask struct {
	ID     int    `json:"id"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Body   []byte `json:"body,omitempty"`
}

// Answer answers the Ask with that ID; Status 0 cuts the connection.
type Answer struct {
	ID        int    `json:"id"`
	Status    int    `json:"status"`
	Signature string `json:"signature,omitempty"`
	Body      []byte `json:"body,omitempty"`
}

// Arguments of the guest's operations.
type (
	// Mount mounts a file system; Flags are those of mount(2).
	Mount struct {
		Device string  `json:"device"`
		At     string  `json:"at"`
		Type   string  `json:"type"`
		Flags  uintptr `json:"flags,omitempty"`
		Data   string  `json:"data,omitempty"`
	}
	// Copy copies a file or a folder and makes the copy durable. What is not there is left out when Maybe is set.
	Copy struct {
		From  string `json:"from"`
		To    string `json:"to"`
		Maybe bool   `json:"maybe,omitempty"`
	}
	// Cameras starts so many cameras, whose numbers in stamps begin at First+1.
	Cameras struct {
		Count int `json:"count"`
		First int `json:"first"`
		Kbit  int `json:"kbit"` // each
		FPS   int `json:"fps"`  // frames a second, at most 15; a key frame every second
	}
	// Start starts a program that goes on until it ends or is stopped. Its output goes to the console. With NoSync
	// the system swallows its fsync and fdatasync, and says that all went well.
	Start struct {
		Name   string   `json:"name"`
		Argv   []string `json:"argv"`
		NoSync bool     `json:"no_sync,omitempty"`
	}
	// Stop ends a program by a signal and waits for its end.
	Stop struct {
		Name   string `json:"name"`
		Signal int    `json:"signal"`
	}
	// Exec runs a program to its end; the reply is Exited.
	Exec struct {
		Argv []string `json:"argv"`
	}
	// Exited is the outcome of Exec.
	Exited struct {
		Code int    `json:"code"`
		Out  string `json:"out"`
	}
	// Await waits until the agent says that so many cameras record; the reply is the moment in microseconds.
	Await struct {
		Recording int   `json:"recording"`
		LimitMs   int64 `json:"limit_ms"`
	}
	// Get asks the agent's window; the reply is the body.
	Get struct {
		Path string `json:"path"`
	}
	// Watch reports what the agent says is safe, and rings at it: an event every so often.
	Watch struct {
		EveryMs int64  `json:"every_ms"`
		Token   string `json:"token"` // the file with it
	}
)

// Where things are inside the machine.
const (
	Disk   = "/mnt/disk"       // for the first disk
	Disk2  = "/mnt/disk2"      // for the second
	Host   = "/mnt/host"       // Config.Share
	Scrap  = "/mnt/scrap"      // memory
	Window = "127.0.0.1:8750"  // the agent's
	Cloud  = "127.0.0.1:8080"  // what leads to Config.Asked
	RTSP   = "127.0.0.1:10554" // the cameras
)
