package render

import (
	"math"
	"strconv"
)

// font is a 5x7 font, drawn for this package: for each rune its seven rows from the top, each a digit to base 32
// whose bits are the dots from left to right.
const font = "" +
	"0ehjlphe 14c4444e 2eh1248v 3v2421he 426aiv22 5vgu11he " +
	"668guhhe 7v124888 8ehhehhe 9ehhf12c Aehhvhhh Buhhuhhu " +
	"Cehggghe Dsihhhis Evgguggv Fvgguggg Gehgnhhf Hhhhvhhh " +
	"Ie44444e J72222ic Khikokih Lggggggv Mhrllhhh Nhhpljhh " +
	"Oehhhhhe Puhhuggg Qehhhlid Ruhhukih Sfgge11u Tv444444 " +
	"Uhhhhhhe Vhhhhha4 Whhhllrh Xhha4ahh Yhhha444 Zv1248gv " +
	":0cc0cc0 .00000cc -000v000 /11248gg +044v440 "

const (
	glyphWide = 6 // with the gap to the next
	glyphHigh = 7
	glyphText = 9 // runes that it takes in font
)

// glyph returns the rows of a rune; one that the font lacks is blank.
func glyph(r rune) [glyphHigh]byte {
	var rows [glyphHigh]byte
	for at := 0; at < len(font); at += glyphText {
		if rune(font[at]) == r {
			for i := range rows {
				// The font holds nothing but digits.
				n, _ := strconv.ParseUint(font[at+1+i:at+2+i], 32, 8)
				rows[i] = byte(n)
			}
		}
	}
	return rows
}

// TextWidth returns how many pixels Write needs for text at a scale.
func TextWidth(text string, scale int) int { return len([]rune(text)) * glyphWide * scale }

// TextHeight returns the height of a line at a scale, in pixels.
func TextHeight(scale int) int { return glyphHigh * scale }

// Write burns text into an RGB picture w pixels wide, its top left corner at (x,y), white with a dark rim so
// that it reads on any background. Runes that the font lacks are left blank.
func Write(rgb []byte, w int, text string, x, y, scale int) {
	rim := max(scale/2, 1)
	for _, r := range text {
		eachDot(glyph(r), x, y, scale, func(px, py int) {
			for dy := -rim; dy < scale+rim; dy++ {
				for dx := -rim; dx < scale+rim; dx++ {
					dot(rgb, w, px+dx, py+dy, 24)
				}
			}
		})
		eachDot(glyph(r), x, y, scale, func(px, py int) {
			for dy := range scale {
				for dx := range scale {
					dot(rgb, w, px+dx, py+dy, 240)
				}
			}
		})
		x += glyphWide * scale
	}
}

func eachDot(g [glyphHigh]byte, x, y, scale int, do func(px, py int)) {
	for row, bits := range g {
		for col := range 5 {
			if bits>>(4-col)&1 == 1 {
				do(x+col*scale, y+row*scale)
			}
		}
	}
}

func dot(rgb []byte, w, x, y int, v byte) {
	if i := (y*w + x) * 3; x >= 0 && x < w && y >= 0 && i+2 < len(rgb) {
		rgb[i], rgb[i+1], rgb[i+2] = v, v, v
	}
}

// Halve returns the picture at half its width and height, each pixel the mean of four.
func Halve(rgb []byte, w, h int) []byte {
	out := make([]byte, w/2*(h/2)*3)
	for y := range h / 2 {
		for x := range w / 2 {
			for c := range 3 {
				at := func(dx, dy int) int { return int(rgb[((2*y+dy)*w+2*x+dx)*3+c]) }
				out[(y*(w/2)+x)*3+c] = byte((at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1) + 2) / 4)
			}
		}
	}
	return out
}

// Lettered says whether the letters of text, dots of the given size in metres, cover the point (x,y) of a
// wall whose letters run towards +x and are centred on (0,0).
func Lettered(text string, x, y, size float64) bool {
	runes := []rune(text)
	col := int(math.Floor(x/size + float64(len(runes)*glyphWide-1)/2))
	row := int(math.Floor(float64(glyphHigh)/2 - y/size))
	if col < 0 || row < 0 || row >= glyphHigh || col/glyphWide >= len(runes) || col%glyphWide == 5 {
		return false
	}
	return glyph(runes[col/glyphWide])[row]>>(4-col%glyphWide)&1 == 1
}
