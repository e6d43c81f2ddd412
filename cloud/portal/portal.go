// Package portal is the web app of Holdfast as one http.Handler: the built files, embedded, and nothing else.
//
// The app is written in TypeScript beside this file; "npm run build" puts it into dist, which is not committed.
// Without dist the program builds all the same and serves a page that says how to build it. Files whose names
// carry a hash never change and are cached for good; everything else is asked for again. Every path that names
// no file is answered with the app's page, because the app reads the path itself. It never holds data: the app
// asks the API that its page names.
package portal

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// The pattern takes dist when it was built, and always dist.placeholder, so that it never matches nothing.
//
//go:embed all:dist*
var files embed.FS

// policy lets the page run its own files only. The hash is of the one style that the interface library writes
// on iOS to keep a page behind a dialog from scrolling.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'sha256-gYiS/BvZvRcK27JIXTuwhZ3hs2+VJ1X+2gUlE+farlg='; " +
	"img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; worker-src blob:; manifest-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// smallest is the size in bytes below which compressing costs more than it saves.
const smallest = 1024

// Built reports whether the program holds the real app and not the page that says how to build it.
func Built() bool {
	_, err := fs.Stat(files, "dist/index.html")
	return err == nil
}

// Handler serves the app. It answers GET and HEAD; paths under /api/ are not its own and must be routed elsewhere.
func Handler() http.Handler {
	folder := "dist.placeholder"
	if Built() {
		folder = "dist"
	}
	root, err := fs.Sub(files, folder)
	if err != nil {
		return failing(fmt.Errorf("open embedded portal: %w", err))
	}
	h, err := newHandler(root)
	if err != nil {
		return failing(err)
	}
	return h
}

// failing answers every request with 500: embedded files can't be unreadable, but a handler must not be nil.
func failing(err error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	})
}

type handler struct {
	files map[string]*file // by path without the leading slash
	page  *file
}

// file is one file of the app, with its compressed form made when it is first asked for.
type file struct {
	body  []byte
	mime  string
	etag  string // without quotes
	cache string
	page  bool
	gz    func() []byte // nil when compressing does not pay
}

func newHandler(root fs.FS) (*handler, error) {
	h := &handler{files: map[string]*file{}}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		h.files[name] = newFile(name, body)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read embedded portal: %w", err)
	}
	if h.page = h.files["index.html"]; h.page == nil {
		return nil, fmt.Errorf("read embedded portal: there is no index.html: run npm run build in cloud/portal")
	}
	return h, nil
}

func newFile(name string, body []byte) *file {
	sum := sha256.Sum256(body)
	f := &file{body: body, mime: mimeOf(name), etag: hex.EncodeToString(sum[:12]), cache: "no-cache", page: strings.HasSuffix(name, ".html")}
	if strings.HasPrefix(name, "assets/") {
		f.cache = "public, max-age=31536000, immutable"
	}
	if compressible(f.mime) && len(body) >= smallest {
		f.gz = sync.OnceValue(func() []byte { return compress(body) })
	}
	return f
}

// mimeOf does not ask the system's tables: the same program answers the same on every machine.
func mimeOf(name string) string {
	switch ext := path.Ext(name); ext {
	case ".html", ".css":
		return "text/" + ext[1:] + "; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".json", ".map":
		return "application/json"
	case ".webmanifest":
		return "application/manifest+json"
	default:
		if known := mime.TypeByExtension(ext); known != "" {
			return known
		}
		return "application/octet-stream"
	}
}

func compressible(mime string) bool {
	return strings.HasPrefix(mime, "text/") || mime == "image/svg+xml" || strings.HasPrefix(mime, "application/json") || mime == "application/manifest+json"
}

// compress returns nil when the result is not smaller.
func compress(body []byte) []byte {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil
	}
	if _, err := w.Write(body); err != nil {
		return nil
	}
	if err := w.Close(); err != nil || out.Len() >= len(body) {
		return nil
	}
	return out.Bytes()
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "The portal's files can only be read.", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	f := h.files[name]
	if f == nil {
		// What looks like a file and is not there must not be answered with a page: an old tab that asks for a
		// script of the release before would run HTML.
		if strings.HasPrefix(r.URL.Path, "/assets/") || path.Ext(name) != "" {
			http.NotFound(w, r)
			return
		}
		f = h.page
	}
	f.serve(w, r)
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Type", f.mime)
	head.Set("Cache-Control", f.cache)
	head.Set("X-Content-Type-Options", "nosniff")
	if f.page {
		head.Set("Content-Security-Policy", policy)
	}
	body, etag := f.body, `"`+f.etag+`"`
	if f.gz != nil {
		head.Add("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			if gz := f.gz(); gz != nil {
				body, etag = gz, `"`+f.etag+`-gz"`
				head.Set("Content-Encoding", "gzip")
			}
		}
	}
	head.Set("ETag", etag)
	if matches(r.Header.Get("If-None-Match"), etag) {
		head.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	head.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	// An error here means that the browser went away.
	_, _ = w.Write(body)
}

// acceptsGzip reads Accept-Encoding (RFC 9110 section 12.5.3): gzip is taken unless its weight is 0.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name = strings.TrimSpace(name); !strings.EqualFold(name, "gzip") && name != "*" {
			continue
		}
		_, q, found := strings.Cut(strings.TrimSpace(weight), "=")
		value, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
		return !found || err == nil && value > 0
	}
	return false
}

// matches compares weakly, as RFC 9110 section 13.1.2 asks.
func matches(header, etag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
		if part == etag || part == "*" {
			return true
		}
	}
	return false
}
