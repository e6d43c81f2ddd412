package turn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// share serves HTTPS and TURN on one port, and returns its address and the authority of its certificate.
func share(t *testing.T, s *Server) (addr string, roots *x509.CertPool) {
	t.Helper()
	maker := httptest.NewUnstartedServer(nil)
	maker.StartTLS() // for its certificate alone
	pair := maker.TLS.Certificates[0]
	roots = x509.NewCertPool()
	roots.AddCert(maker.Certificate())
	maker.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	shared := s.Share(l, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{pair}})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("portal"))
	})}
	ran, served := make(chan error, 1), make(chan error, 1)
	go func() { ran <- shared.Run() }()
	go func() { served <- server.Serve(shared) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), shared.Close(), <-ran); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String(), roots
}
