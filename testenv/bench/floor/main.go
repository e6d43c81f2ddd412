// Command floor is the least that recording can cost: it asks RTSP cameras for their streams over TCP and writes the
// bytes that come into files as they are, in blocks of 512 KiB, one goroutine and one file for each stream.
//
//	floor -dir /tmp/floor < urls
//
// It reads one address a line, prints "playing" once every camera has been asked to play, and runs until it is
// ended or a stream ends. It has no container, no times, no sums and no flushes: what a recorder costs beyond it is
// the price of all that. Cameras that ask for a login are refused.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	block     = 512 << 10
	keepalive = 25 * time.Second
	patience  = 10 * time.Second
)

func main() {
	dir := flag.String("dir", ".", "folder for the files")
	flag.Parse()
	if err := run(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	var streams []*stream
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		s, err := open(in.Text())
		if err != nil {
			return fmt.Errorf("%s: %w", in.Text(), err)
		}
		streams = append(streams, s)
	}
	ended := make(chan error)
	for i, s := range streams {
		if err := s.play(); err != nil {
			return fmt.Errorf("%s: %w", s.address, err)
		}
		file, err := os.Create(filepath.Join(dir, fmt.Sprintf("%03d.rtp", i)))
		if err != nil {
			return err
		}
		go func() { ended <- s.copyTo(file) }()
	}
	fmt.Println("playing")
	tick := time.NewTicker(keepalive)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			for _, s := range streams {
				if err := s.send("OPTIONS", s.address); err != nil {
					return err
				}
			}
		}
	}
}

// stream is one RTSP session (RFC 2326) with its video on channels 0 and 1 of the connection (section 10.12).
type stream struct {
	address string
	conn    net.Conn
	in      *bufio.Reader // of the answers; what it holds at the end of the last one is the stream's beginning
	session string
	seq     int
}

// open comes as far as SETUP.
func open(address string) (*stream, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	s := &stream{address: address}
	if s.conn, err = net.Dial("tcp", u.Host); err != nil {
		return nil, err
	}
	s.in = bufio.NewReader(s.conn)
	head, sdp, err := s.ask("DESCRIBE", address, "Accept: application/sdp")
	if err != nil {
		return nil, err
	}
	base := head.Get("Content-Base")
	if base == "" {
		base = address
	}
	control := ""
	_, video, _ := strings.Cut(sdp, "m=video")
	for line := range strings.Lines(video) {
		if after, ok := strings.CutPrefix(strings.TrimSpace(line), "a=control:"); ok {
			control = after
			break
		}
	}
	if !strings.Contains(control, "://") {
		control = strings.TrimSuffix(base, "/") + "/" + control
	}
	head, _, err = s.ask("SETUP", control, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
	if err != nil {
		return nil, err
	}
	s.session, _, _ = strings.Cut(head.Get("Session"), ";")
	return s, nil
}

func (s *stream) play() error {
	_, _, err := s.ask("PLAY", s.address, "Range: npt=0-")
	return err
}

func (s *stream) send(method, address string, lines ...string) error {
	s.seq++
	lines = append(lines, fmt.Sprintf("CSeq: %d", s.seq))
	if s.session != "" {
		lines = append(lines, "Session: "+s.session)
	}
	_, err := fmt.Fprintf(s.conn, "%s %s RTSP/1.0\r\n%s\r\n\r\n", method, address, strings.Join(lines, "\r\n"))
	return err
}

func (s *stream) ask(method, address string, lines ...string) (textproto.MIMEHeader, string, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, "", err
	}
	if err := s.send(method, address, lines...); err != nil {
		return nil, "", err
	}
	in := textproto.NewReader(s.in)
	status, err := in.ReadLine()
	if err != nil {
		return nil, "", err
	}
	head, err := in.ReadMIMEHeader()
	if err != nil {
		return nil, "", err
	}
	if !strings.HasPrefix(status, "RTSP/1.0 200") {
		return nil, "", fmt.Errorf("%s: %s", method, status)
	}
	size, _ := strconv.Atoi(head.Get("Content-Length")) // none means 0
	body := make([]byte, size)
	if _, err := io.ReadFull(s.in, body); err != nil {
		return nil, "", err
	}
	return head, string(body), s.conn.SetReadDeadline(time.Time{})
}

// copyTo is the floor itself.
func (s *stream) copyTo(file *os.File) error {
	buf := make([]byte, block)
	n, err := io.ReadFull(s.in, buf[:s.in.Buffered()])
	for err == nil {
		if n == len(buf) {
			if _, err := file.Write(buf); err != nil {
				return errors.Join(err, file.Close())
			}
			n = 0
		}
		var more int
		more, err = s.conn.Read(buf[n:])
		n += more
	}
	return errors.Join(err, file.Close())
}
