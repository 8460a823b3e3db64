package pluginhost

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// hostCertEnv names the environment variable that carries the host's certificate to a
// plugin, in PEM: that of go-plugin's AutoMTLS.
const hostCertEnv = "PLUGIN_CLIENT_CERT"

// serverName is what both certificates are made out to.
const serverName = "localhost"

// tlsVersion is the lowest that either side accepts.
const tlsVersion = tls.VersionTLS12

// identity is the host's key and certificate for one plugin process. It is what
// go-plugin's AutoMTLS makes, with the curve P-256: its P-521, for which Go has no fast
// arithmetic, took a good part of a plugin's start.
type identity struct{ tls.Certificate }

// newIdentity makes a fresh one.
func newIdentity() (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, fmt.Errorf("key for TLS: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	if err != nil {
		return identity{}, fmt.Errorf("certificate for TLS: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template(serial), template(serial), key.Public(), key)
	if err != nil {
		return identity{}, fmt.Errorf("certificate for TLS: %w", err)
	}
	return identity{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}, nil
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

// pem is the certificate as it is in hostCertEnv.
func (i identity) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate.Certificate[0]}))
}

// host returns the host's configuration. Whom it trusts, the certificate of the
// plugin's handshake line, go-plugin puts in.
func (i identity) host() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{i.Certificate}, MinVersion: tlsVersion,
		ClientAuth: tls.RequireAndVerifyClientCert, ServerName: serverName,
	}
}
