package integration_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writePair writes a certificate for 127.0.0.1 and its key, and returns who trusts it.
func writePair(tb testing.TB, name, certFile, keyFile string) *http.Client {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	must(tb, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(tb, err)
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	must(tb, os.WriteFile(certFile, chain, 0o600))
	must(tb, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(chain)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	tb.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// fetch sends a request with a token and returns status and body.
func fetch(tb testing.TB, c *http.Client, method, url, token string, body []byte) (int, string, error) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, url, bytes.NewReader(body))
	must(tb, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// TestHTTPSOfProcess: token and certificate of the flags, a certificate that is
// renewed while the node runs, and a value that went in by HTTP and comes out by NATS.
func TestHTTPSOfProcess(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	first := writePair(t, "first", cert, key)
	address := freeAddress(t)
	n := newNode(t, "a", "nats://"+freeAddress(t))
	n.args = []string{"--listen", strings.TrimPrefix(n.url, "nats://"), "--http", address, "--http-cert", cert, "--http-key", key}
	n.env = []string{"REPLICATOR_HTTP_TOKEN=secret"}
	n.start()
	url := "https://" + address + "/v1/buckets/default/keys/k"
	if status, body, err := fetch(t, first, http.MethodPut, url, "", []byte("v")); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d %s %v", status, body, err)
	}
	if status, body, err := fetch(t, first, http.MethodPut, url, "secret", []byte("v")); status != http.StatusOK {
		t.Errorf("with it: %d %s %v", status, body, err)
	}
	n.want("k", "v")

	second := writePair(t, "second", cert, key)
	first.CloseIdleConnections()
	n.proc.signal(t, syscall.SIGHUP)
	await(t, patience, "the new certificate is served", func() error {
		status, _, err := fetch(t, second, http.MethodGet, url, "secret", nil)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		return err
	})
	must(t, os.WriteFile(cert, []byte("no certificate"), 0o600))
	n.proc.signal(t, syscall.SIGHUP)
	await(t, patience, "a bad file is complained of", func() error {
		if !strings.Contains(n.log.String(), "the one from before stays") {
			return errNotYet
		}
		return nil
	})
	if status, body, err := fetch(t, second, http.MethodGet, url, "secret", nil); status != http.StatusOK {
		t.Errorf("after a bad file: %d %s %v", status, body, err)
	}
	if strings.Contains(n.log.String(), "secret") {
		t.Error("the token is in the log")
	}
	n.stop()
}

// TestStopEndsHTTP: a node with a watcher stops in time, and lets a put that was
// begun end.
func TestStopEndsHTTP(t *testing.T) {
	address := freeAddress(t)
	n := embeddedNode(t, "a", "--http", address)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/v1/buckets/default/watch", nil)
	must(t, err)
	res, err := client.Do(req)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	begun := time.Now()
	n.stop()
	if took := time.Since(begun); took > stopLimit {
		t.Errorf("took %v", took)
	}
	rest, err := io.ReadAll(res.Body)
	if err != nil || !bytes.Contains(rest, []byte(`"code":"stopping"`)) {
		t.Errorf("the watcher heard %q, %v", rest, err)
	}
}

func TestBusyHTTPPortIsRefused(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close() //nolint:errcheck // nothing was accepted
	data := t.TempDir()
	r := replicator(t, "serve", "--node", "a", "--data", data, "--listen", freeAddress(t), "--http", l.Addr().String())
	r.refused(t, exitFailed, "--http", l.Addr().String(), "in use")
	r = replicator(t, "serve", "--node", "a", "--data", data, "--listen", freeAddress(t), "--http", "127.0.0.1:0", "--http-cert", "none.pem", "--http-key", "none.pem")
	r.refused(t, exitFailed, "none.pem", "certificate")
}
