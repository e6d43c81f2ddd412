package fakecam

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// CA is a certificate authority of a site that is not there.
type CA struct {
	PEM  []byte // its certificate
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA makes an authority with a key of its own.
func NewCA() (*CA, error) {
	ca := &CA{}
	plain := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Site CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour),
	}
	c, err := ca.sign(plain, nil)
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	ca.cert, ca.key = c.Leaf, c.PrivateKey.(*ecdsa.PrivateKey)
	ca.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
	return ca, nil
}

// Issue makes a certificate for hosts (names or IP addresses) that ends at a moment.
func (ca *CA) Issue(until time.Time, hosts ...string) (*tls.Certificate, error) {
	c, err := ca.sign(leaf(until, hosts), ca.cert)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	return c, nil
}

// SelfSigned makes a certificate as most cameras have it from the factory: signed by itself, for a name that is
// not the one by which the camera is reached.
func SelfSigned() (*tls.Certificate, error) {
	c, err := (&CA{}).sign(leaf(time.Now().Add(time.Hour), []string{"ipcamera.local"}), nil)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	return c, nil
}

// Fingerprint is the SHA-256 of a certificate in hexadecimal digits.
func Fingerprint(c *tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	return hex.EncodeToString(sum[:])
}

func leaf(until time.Time, hosts []string) *x509.Certificate {
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: hosts[0]}, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
	return c
}

// sign makes a key for plain and signs it by parent, by itself when there is none.
func (ca *CA) sign(plain, parent *x509.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if plain.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return nil, err
	}
	plain.NotBefore = time.Now().Add(-48 * time.Hour)
	signer := ca.key
	if parent == nil {
		parent, signer = plain, key
	}
	der, err := x509.CreateCertificate(rand.Reader, plain, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: c}, nil
}
