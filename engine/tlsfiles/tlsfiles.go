// Package tlsfiles makes TLS client configurations of the files that a connection's
// URL names. It opens no connection.
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// Files are what a URL's parameters name; each may be "".
type Files struct {
	CA        string // cacertfile: certificates that sign the server's, instead of the system's
	Cert, Key string // certfile and keyfile: the client's own
}

// Config returns a configuration of TLS 1.2 or later for a server of this name.
func (f Files) Config(server string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: server}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("read cacertfile: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cacertfile %s holds no certificate", f.CA)
		}
	}
	if f.Cert != "" && f.Key != "" {
		cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("read certfile and keyfile: %w", err)
		}
		config.Certificates = []tls.Certificate{cert}
	}
	return config, nil
}
