package crashfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// CutLedger copies the ledger at from into the folder to, as a power cut now leaves it.
func CutLedger(from, to string, chance *rand.Rand) error {
	text, log, err := read(from)
	if err != nil || text == nil {
		return err
	}
	to = filepath.Join(to, filepath.Base(from))
	err = os.WriteFile(to, text, 0o600)
	if err == nil && len(log) > 0 {
		err = os.WriteFile(to+"-wal", tear(log, chance), 0o600)
	}
	return err
}

// read reads database and log at one moment: between two at which the engine moves the one into the other.
func read(file string) (text, log []byte, err error) {
	for range 100 {
		before := modified(file)
		if log, err = os.ReadFile(file + "-wal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if text, err = os.ReadFile(file); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, nil
		} else if err != nil {
			break
		}
		again, _ := os.ReadFile(file + "-wal")
		if len(again) >= len(log) && string(again[:min(len(log), walHeader)]) == string(log[:min(len(log), walHeader)]) &&
			modified(file).Equal(before) {
			return text, log, nil
		}
	}
	return nil, nil, fmt.Errorf("cut ledger: it never stands still: %w", err)
}

func modified(file string) time.Time {
	info, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// The log's format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
const (
	walHeader   = 32
	frameHeader = 24
)

// commits returns where each whole transaction in a log ends.
func commits(log []byte) (ends []int) {
	if len(log) < walHeader {
		return nil
	}
	big := binary.BigEndian
	var order binary.ByteOrder = binary.LittleEndian
	if big.Uint32(log)&1 == 1 {
		order = big
	}
	size := int(big.Uint32(log[8:]))
	sum := checksum(order, [2]uint32{}, log[:24])
	for at := walHeader; at+frameHeader+size <= len(log); at += frameHeader + size {
		head := log[at : at+frameHeader]
		if string(head[8:16]) != string(log[16:24]) {
			break // a frame of the generation before
		}
		sum = checksum(order, sum, head[:8])
		sum = checksum(order, sum, log[at+frameHeader:at+frameHeader+size])
		if sum != [2]uint32{big.Uint32(head[16:]), big.Uint32(head[20:])} {
			break
		}
		if big.Uint32(head[4:]) != 0 {
			ends = append(ends, at+frameHeader+size)
		}
	}
	return ends
}

func checksum(order binary.ByteOrder, s [2]uint32, b []byte) [2]uint32 {
	for ; len(b) >= 8; b = b[8:] {
		s[0] += order.Uint32(b) + s[1]
		s[1] += order.Uint32(b[4:]) + s[0]
	}
	return s
}

// tear ends a log at its last commit, with a torn frame behind it.
func tear(log []byte, chance *rand.Rand) []byte {
	all := commits(log)
	if len(all) == 0 {
		return log
	}
	end := all[len(all)-1]
	out := append([]byte(nil), log[:end]...)
	rest := log[end:min(len(log), end+frameHeader+chance.IntN(4096))]
	out = append(out, rest...)
	if len(rest) == 0 { // the beginning of a frame that never came
		out = append(append(out, log[walHeader:walHeader+16]...), make([]byte, chance.IntN(2000))...)
	}
	return out
}
