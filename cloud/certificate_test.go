package cloud

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePair writes a certificate of so much life left, and its key.
func writePair(t *testing.T, dir string, serial int64, left time.Duration) (chain, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{"cloud.test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(left),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	chain, key = filepath.Join(dir, "chain.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{chain: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return chain, key
}

// shown returns the serial number of the certificate that a TLS client is shown.
func shown(t *testing.T, c *certificate) int64 {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", c.config())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_ = conn.(*tls.Conn).HandshakeContext(t.Context()) // the client's side is judged
		_ = conn.Close()
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, &tls.Config{ServerName: "cloud.test", InsecureSkipVerify: true}) // the serial number is what is asked for
	defer func() { _ = conn.Close() }()
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// later lets the next handshake look at the files again.
func later(c *certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looked = time.Time{}
}

func TestARenewedCertificateNeedsNoRestart(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	chain, key := writePair(t, dir, 1, 24*time.Hour)
	c, err := loadCertificate(chain, key, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "expires soon") {
		t.Errorf("a certificate with one day left is not complained of: %s", &log)
	}
	if n := shown(t, c); n != 1 {
		t.Errorf("certificate %d is shown", n)
	}
	writePair(t, dir, 2, 90*24*time.Hour)
	later(c)
	if n := shown(t, c); n != 2 {
		t.Errorf("certificate %d is shown after a renewal", n)
	}
	// Half of a renewal: the chain is new, the key is not.
	other := t.TempDir()
	newer, _ := writePair(t, other, 3, 90*24*time.Hour)
	text, err := os.ReadFile(newer)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(chain, append(text, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	later(c)
	if n := shown(t, c); n != 2 || !strings.Contains(log.String(), "the old one stays") {
		t.Errorf("certificate %d is shown while the files are no pair: %s", n, &log)
	}
	if err := os.Remove(chain); err != nil {
		t.Fatal(err)
	}
	later(c)
	if n := shown(t, c); n != 2 {
		t.Errorf("certificate %d is shown while a file is missing", n)
	}
}
