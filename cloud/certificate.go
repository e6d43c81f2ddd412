package cloud

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is the pair of PEM files that the door shows. It is read before anything is served, and read again
// when the files change, so that a renewed certificate needs no restart. Safe for concurrent use.
type certificate struct {
	chain, key string // files
	log        *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	stamp  [2]fileStamp
	looked time.Time
}

// fileStamp tells two states of a file apart.
type fileStamp struct {
	modified time.Time
	size     int64
}

const (
	certificateLook = time.Minute         // between two looks at the files
	certificateSoon = 14 * 24 * time.Hour // before its end a certificate is complained of
)

// loadCertificate reads the pair; the error says which file is wrong and how.
func loadCertificate(chain, key string, log *slog.Logger) (*certificate, error) {
	c := &certificate{chain: chain, key: key, log: log}
	stamp, err := c.stamps()
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w (--tls-cert names the chain, --tls-key its private key)", err)
	}
	if err := c.load(stamp); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *certificate) stamps() (out [2]fileStamp, err error) {
	for i, file := range []string{c.chain, c.key} {
		info, err := os.Stat(file)
		if err != nil {
			return out, err
		}
		out[i] = fileStamp{info.ModTime(), info.Size()}
	}
	return out, nil
}

// load reads the files and keeps them if they are a pair.
func (c *certificate) load(stamp [2]fileStamp) error {
	pair, err := tls.LoadX509KeyPair(c.chain, c.key)
	if err != nil {
		return fmt.Errorf("the certificate %s with the key %s can't be used: %w (--tls-cert wants the chain as PEM, the server's own "+
			"certificate first, --tls-key its private key)", c.chain, c.key, err)
	}
	switch left := time.Until(pair.Leaf.NotAfter); {
	case left < 0:
		c.log.Error("the certificate has expired: browsers and agents refuse it", "file", c.chain, "until", pair.Leaf.NotAfter)
	case left < certificateSoon:
		c.log.Warn("the certificate expires soon: renew it; the new files are taken without a restart", "file", c.chain, "until", pair.Leaf.NotAfter)
	}
	c.pair, c.stamp, c.looked = &pair, stamp, time.Now()
	return nil
}

// get returns the pair for a handshake. New files that are no pair are said so, and the old pair stays.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < certificateLook {
		return c.pair, nil
	}
	c.looked = time.Now()
	stamp, err := c.stamps()
	if err == nil && stamp != c.stamp {
		if err = c.load(stamp); err == nil {
			c.log.Info("the certificate was renewed", "file", c.chain, "until", c.pair.Leaf.NotAfter)
		}
	}
	if err != nil {
		c.log.Error("the new certificate can't be used, the old one stays", "error", err)
	}
	return c.pair, nil
}

// config returns what the door's TLS listener wants: TLS 1.2 at least, HTTP/2 offered.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: c.get}
}
