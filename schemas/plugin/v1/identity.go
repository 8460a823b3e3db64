package pluginv1

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// HostCertEnv names the environment variable that carries the host's certificate to a
// plugin, in PEM: that of go-plugin's AutoMTLS.
const HostCertEnv = "PLUGIN_CLIENT_CERT"

// serverName is what both certificates are made out to.
const serverName = "localhost"

// tlsVersion is the lowest that either side accepts.
const tlsVersion = tls.VersionTLS12

// Identity is the key and certificate that a host or a plugin has for one process of the
// plugin. It is what go-plugin's AutoMTLS makes, with the curve P-256: its P-521, for
// which Go has no fast arithmetic, took a good part of a plugin's start.
type Identity struct{ certificate tls.Certificate }

// NewIdentity makes a fresh one.
func NewIdentity() (Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Identity{}, fmt.Errorf("key for TLS: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	if err != nil {
		return Identity{}, fmt.Errorf("certificate for TLS: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template(serial), template(serial), key.Public(), key)
	if err != nil {
		return Identity{}, fmt.Errorf("certificate for TLS: %w", err)
	}
	return Identity{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}, nil
}

// template describes a certificate that vouches for itself.
func template(serial *big.Int) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: serverName, Organization: []string{"Millrace"}},
		DNSNames:     []string{serverName},
		NotBefore:    time.Now().Add(-30 * time.Second),
		NotAfter:     time.Now().Add(30 * 365 * 24 * time.Hour), // longer than any process lives
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},

		BasicConstraintsValid: true,
		IsCA:                  true,
	}
}

// PEM is the certificate as it is in [HostCertEnv].
func (i Identity) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.certificate.Certificate[0]}))
}

// Field is the certificate as it is in a plugin's handshake line.
func (i Identity) Field() string {
	return base64.RawStdEncoding.EncodeToString(i.certificate.Certificate[0])
}

// Host returns a host's configuration. Whom it trusts, the certificate of the plugin's
// handshake line, go-plugin puts in.
func (i Identity) Host() *tls.Config { return i.config() }

// Plugin returns a plugin's configuration, which admits the host whose certificate is
// host, in PEM.
func (i Identity) Plugin(host string) (*tls.Config, error) {
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM([]byte(host)) {
		return nil, fmt.Errorf("%s holds no certificate", HostCertEnv)
	}
	config := i.config()
	config.ClientCAs, config.RootCAs = trusted, trusted
	return config, nil
}

func (i Identity) config() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{i.certificate}, MinVersion: tlsVersion,
		ClientAuth: tls.RequireAndVerifyClientCert, ServerName: serverName,
	}
}
