package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"holdfast/shared/wire"
	"holdfast/testenv/powercut/uml"
)

// status is what the rig reads of the agent's window.
type status struct {
	Cameras []struct {
		Name      string `json:"name"`
		Recording bool   `json:"recording"`
		DurableUs int64  `json:"durable_us"`
	} `json:"cameras"`
}

func get(path string) (json.RawMessage, error) {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get("http://" + uml.Window + path)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the window answers %s: %s", resp.Status, body)
	}
	return body, nil
}

func look() (s status, err error) {
	body, err := get("/status.json")
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	return s, err
}

// await returns when the window says that so many cameras record.
func await(a uml.Await) (uml.Ready, error) {
	limit := time.Now().Add(time.Duration(a.LimitMs) * time.Millisecond)
	ready := uml.Ready{Waited: map[string]int64{}}
	for {
		ready.AtUs = time.Now().UnixMicro()
		s, err := look()
		n := 0
		for _, c := range s.Cameras {
			if c.Recording {
				n++
			} else {
				ready.Waited[c.Name] = ready.AtUs
			}
		}
		switch {
		case err == nil && n >= a.Recording:
			return ready, nil
		case time.Now().After(limit):
			return ready, errors.Join(fmt.Errorf("%d of %d cameras record after %d ms", n, a.Recording, a.LimitMs), err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// watch tells of what the agent says is safe, and posts events.
func (g *guest) watch(a uml.Watch) {
	tick := time.NewTicker(time.Duration(a.EveryMs) * time.Millisecond)
	defer tick.Stop()
	for n := 1; ; n++ {
		<-tick.C
		if s, err := look(); err == nil {
			c := uml.Claim{AtUs: time.Now().UnixMicro(), Durable: map[string]int64{}}
			for _, cam := range s.Cameras {
				c.Durable[cam.Name] = cam.DurableUs
			}
			g.sayJSON(uml.LineClaim, c)
		}
		text := fmt.Sprintf("ring %d of %d", n, time.Now().UnixMicro())
		if ring(a.Token, text) == nil {
			g.say(uml.LineEvent, []byte(text))
		}
	}
}

func ring(tokenFile, text string) error {
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"kind": "door_opened", "text": text})
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+uml.Window+"/events", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("event refused: %s", resp.Status)
	}
	return nil
}

// serveCloud listens where the cloud would be and lets the host make the requests.
func (g *guest) serveCloud() error {
	l, err := net.Listen("tcp", uml.Cloud)
	if err != nil {
		return err
	}
	go func() {
		fmt.Fprintln(os.Stderr, "guest: the way to the cloud ended:", http.Serve(l, http.HandlerFunc(g.forward)))
	}()
	return nil
}

func (g *guest) forward(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	c := make(chan uml.Answer, 1)
	g.mu.Lock()
	g.asks++
	ask := uml.Ask{ID: g.asks, Method: r.Method, Path: r.URL.RequestURI(), Body: body}
	g.answers[ask.ID] = c
	g.mu.Unlock()
	g.sayJSON(uml.LineAsk, ask)
	a := <-c
	if a.Status == 0 {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	if a.Signature != "" {
		w.Header().Set(wire.HeaderSignature, a.Signature)
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // the agent may have gone
}

func (g *guest) answered(a uml.Answer) error {
	g.mu.Lock()
	c := g.answers[a.ID]
	delete(g.answers, a.ID)
	g.mu.Unlock()
	if c == nil {
		return fmt.Errorf("nobody asked %d", a.ID)
	}
	c <- a
	return nil
}
