package house

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/testenv/fakecam"
)

// Addr is host and port of the cloud.
func (h *House) Addr() string {
	_, addr, _ := strings.Cut(h.URL, "://")
	return addr
}

func (h *House) scheme() string {
	if h.setup.TLS {
		return "https://"
	}
	return "http://"
}

func (h *House) caFile() string { return filepath.Join(h.Dir, "ca.pem") }

// certify makes the cloud's certificate, the first time, and returns the arguments that name it.
func (h *House) certify() ([]string, error) {
	chain, key := filepath.Join(h.Dir, "cloud.pem"), filepath.Join(h.Dir, "cloud.key.pem")
	args := []string{"--tls-cert", chain, "--tls-key", key}
	if h.ca != nil {
		return args, nil
	}
	ca, err := fakecam.NewCA()
	if err != nil {
		return nil, err
	}
	hosts := []string{"127.0.0.1"}
	if host, _, err := net.SplitHostPort(h.setup.Listen); err == nil && host != "" {
		hosts = append(hosts, host)
	}
	cert, err := ca.Issue(time.Now().Add(90*24*time.Hour), hosts...)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return nil, err
	}
	for path, text := range map[string][]byte{
		h.caFile(): ca.PEM,
		chain:      pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		key:        pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return nil, err
		}
	}
	h.ca = ca
	return args, nil
}

// reach has the client connect from a place, and take the certificates of an authority if there is one.
func (c *Client) reach(from Place, ca *fakecam.CA) {
	if from == nil && ca == nil {
		return
	}
	tr := &http.Transport{DialContext: from.dial}
	if ca != nil {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca.PEM)
		tr.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	c.HTTP.Transport = tr
}
