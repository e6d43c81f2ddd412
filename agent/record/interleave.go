package record

import "holdfast/agent/media"

// patienceUs is how long one track waits for the other one before it goes on alone.
const patienceUs = 300_000

// interleaver puts the frames of video and audio into the order of their capture, so that each audio frame
// lands in the segment of its moment, although it may arrive after the key frame that begins the next one.
type interleaver struct {
	sound  bool // there is an audio track to wait for
	queues [2]queue
}

// queue is a ring that does not allocate once it has grown.
type queue struct {
	frames []media.Frame
	head   int
}

func (q *queue) empty() bool         { return q.head == len(q.frames) }
func (q *queue) first() *media.Frame { return &q.frames[q.head] }
func (q *queue) last() *media.Frame  { return &q.frames[len(q.frames)-1] }

func (q *queue) push(f media.Frame) {
	if q.head > 0 && len(q.frames) == cap(q.frames) {
		n := copy(q.frames, q.frames[q.head:])
		clear(q.frames[n:])
		q.frames, q.head = q.frames[:n], 0
	}
	q.frames = append(q.frames, f)
}

func (q *queue) pop() media.Frame {
	f := q.frames[q.head]
	q.frames[q.head] = media.Frame{}
	if q.head++; q.empty() {
		q.frames, q.head = q.frames[:0], 0
	}
	return f
}

func (i *interleaver) push(f media.Frame) { i.queues[f.Track].push(f) }

// pop returns the next frame in order. all empties the queues without waiting for the other track.
func (i *interleaver) pop(all bool) (media.Frame, bool) {
	video, audio := &i.queues[0], &i.queues[1]
	switch {
	case video.empty() && audio.empty():
		return media.Frame{}, false
	case audio.empty():
		if all || !i.sound || video.last().MonoUs-video.first().MonoUs >= patienceUs {
			return video.pop(), true
		}
		return media.Frame{}, false
	case video.empty():
		if all || audio.last().MonoUs-audio.first().MonoUs >= patienceUs {
			return audio.pop(), true
		}
		return media.Frame{}, false
	case audio.first().MonoUs < video.first().MonoUs:
		return audio.pop(), true
	}
	return video.pop(), true
}

// oldest returns the lowest Seq that waits, or otherwise when none does.
func (i *interleaver) oldest(otherwise uint64) uint64 {
	for k := range i.queues {
		if q := &i.queues[k]; !q.empty() {
			otherwise = min(otherwise, q.first().Seq)
		}
	}
	return otherwise
}

// nextAudio returns the audio frame that comes next, nil when none waits.
func (i *interleaver) nextAudio() *media.Frame {
	if q := &i.queues[1]; !q.empty() {
		return q.first()
	}
	return nil
}
