package onvif

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// Limits of what a device may answer.
const (
	maxBytes = 1 << 20
	maxDepth = 48
	maxNodes = 30_000
	maxParts = 5 * maxNodes // beginnings, ends, comments and what stands between
	maxText  = 4096         // bytes of one element; what is behind is left out
)

var (
	// errLarge says that an answer is cut off: what was read whole before can be used.
	errLarge = errors.New("the answer is larger than any that makes sense")
	errDeep  = errors.New("the answer is nested deeper than any that makes sense")
	errDTD   = errors.New("the answer holds a document type definition, which SOAP forbids")
)

// node is an element of an answer. Prefixes and namespaces are left out: devices differ in both.
type node struct {
	name  string
	attrs []xml.Attr
	text  string
	kids  []*node
	whole bool // its end was read
}

// parse reads an answer: UTF-8, without a document type definition or entities of its own (SOAP 1.2 part 1 section 5). With
// errLarge it returns what was read until then.
func parse(r io.Reader) (*node, error) {
	root := &node{}
	stack := []*node{root}
	dec := xml.NewDecoder(&limited{r, maxBytes})
	for nodes, parts := 0, 0; ; {
		tok, err := dec.Token()
		parts++
		switch {
		case errors.Is(err, io.EOF):
			if len(root.kids) == 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return root, nil
		case errors.Is(err, errLarge):
			return root, errLarge
		case err != nil:
			return nil, err
		case parts > maxParts:
			return root, errLarge
		}
		top := stack[len(stack)-1]
		switch tok := tok.(type) {
		case xml.Directive:
			return nil, errDTD
		case xml.StartElement:
			if nodes++; nodes > maxNodes {
				return root, errLarge
			}
			if len(stack) > maxDepth {
				return nil, errDeep
			}
			n := &node{name: tok.Name.Local, attrs: tok.Attr}
			top.kids = append(top.kids, n)
			stack = append(stack, n)
		case xml.EndElement:
			top.text, top.whole = strings.TrimSpace(top.text), true
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(top.kids) == 0 { // what stands between elements is of no use
				top.text += string(tok[:min(len(tok), maxText-len(top.text))])
			}
		}
	}
}

// limited reads so many bytes at most.
type limited struct {
	r    io.Reader
	left int
}

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errLarge
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// find returns the first element at the end of a path of names; an empty one when there is none.
func (n *node) find(path ...string) *node {
	for _, name := range path {
		next := n.all(name)
		if len(next) == 0 {
			return &node{}
		}
		n = next[0]
	}
	return n
}

// all returns the children of a name.
func (n *node) all(name string) (out []*node) {
	if n == nil {
		return nil
	}
	for _, k := range n.kids {
		if k.name == name {
			out = append(out, k)
		}
	}
	return out
}

// attr returns an attribute by its local name, empty without one.
func (n *node) attr(name string) string {
	for _, a := range n.attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// there says whether find has found something.
func (n *node) there() bool { return n.name != "" }
