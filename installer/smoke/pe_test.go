package smoke

import (
	"bytes"
	"encoding/binary"
)

// forwarder returns a Windows library of one page that has one function, which is another library's:
// "advapi32.SystemFunction036". The layout is that of the PE format, with an export directory as all its content.
func forwarder(name, export, target string) []byte {
	const rva, offset = 0x1000, 0x200 // of the one section, in memory and in the file
	section := make([]byte, 0x200)
	end := 64
	text := func(s string) uint32 {
		at := end
		copy(section[at:], s)
		end += len(s) + 1
		return rva + uint32(at)
	}
	// Flags, time, version; name; first ordinal; how many functions and names; where functions, names and ordinals
	// lie, which follow: the function is a text inside the directory, and that makes it a forwarder.
	for i, v := range []uint32{0, 0, 0, text(name), 1, 1, 1, rva + 40, rva + 44, rva + 48, text(target), text(export), 0} {
		binary.LittleEndian.PutUint32(section[4*i:], v)
	}
	var b bytes.Buffer
	put := func(fields ...any) {
		for _, f := range fields {
			_ = binary.Write(&b, binary.LittleEndian, f) // a buffer takes everything of a fixed size
		}
	}
	put([]byte("MZ"), make([]byte, 58), uint32(64), []byte("PE\x00\x00"))
	// amd64; one section; size of the next header; a library for large addresses
	put(uint16(0x8664), uint16(1), uint32(0), uint32(0), uint32(0), uint16(240), uint16(0x2022))
	// PE32+; sizes of code and data; no entry point
	put(uint16(0x20b), uint16(0), uint32(0), uint32(0x200), uint32(0), uint32(0), uint32(rva))
	// where it would like to be; alignments; versions
	put(uint64(0x180000000), uint32(0x1000), uint32(0x200), uint16(6), uint16(0), uint16(0), uint16(0), uint16(6), uint16(0), uint32(0))
	// sizes of image and headers; no checksum; console; may be moved, no execution of data; stack, heap; directories
	put(uint32(0x2000), uint32(offset), uint32(0), uint16(3), uint16(0x140))
	put(uint64(1<<20), uint64(4096), uint64(1<<20), uint64(4096), uint32(0), uint32(16), uint32(rva), uint32(end), make([]byte, 15*8))
	put([]byte(".edata\x00\x00"), uint32(0x200), uint32(rva), uint32(0x200), uint32(offset), make([]byte, 12), uint32(0x40000040))
	b.Write(make([]byte, offset-b.Len()))
	b.Write(section)
	return b.Bytes()
}
