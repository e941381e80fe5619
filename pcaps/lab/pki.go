//go:build linux

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// validity is long: the captures are kept for years, and must not turn into
// captures of expired certificates.
const validity = 20 * 365 * 24 * time.Hour

// pki is the lab's own authority, another one that the nodes do not trust,
// and the certificates of the hosts, as PEM files that nodes can be given.
type pki struct {
	dir string
	ca  *x509.Certificate
}

type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// newPKI writes ca.crt, other-ca.crt, and for each host HOST.crt and HOST.key
// of the lab's authority, also for localhost, and HOST-other.crt and HOST-other.key
// of the other.
func newPKI(dir string) (*pki, error) {
	p := &pki{dir: dir}
	ours, err := p.authority("ca", "distproof lab CA")
	if err != nil {
		return nil, err
	}
	p.ca = ours.cert
	other, err := p.authority("other-ca", "somebody else's CA")
	if err != nil {
		return nil, err
	}
	if err := p.issue(ours, "localhost", "localhost"); err != nil {
		return nil, err
	}
	for i := 1; i <= hostCount; i++ {
		host := hostName(i)
		if err := p.issue(ours, shortName(i), host); err != nil {
			return nil, err
		}
		if err := p.issue(other, shortName(i)+"-other", host); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *pki) path(name string) string { return filepath.Join(p.dir, name) }

func (p *pki) authority(file, name string) (*authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"distproof lab"}, CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert, err := p.sign(file, template, key, &authority{template, key})
	if err != nil {
		return nil, err
	}
	return &authority{cert, key}, nil
}

// issue makes a certificate for a host that may be server and client: in
// Erlang distribution every node is both.
func (p *pki) issue(ca *authority, file, host string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: host},
		DNSNames:              []string{host},
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if _, err := p.sign(file, template, key, ca); err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(p.path(file+".key"), "PRIVATE KEY", der)
}

// sign completes the template, signs it with the authority's key and writes
// the certificate.
func (p *pki) sign(file string, template *x509.Certificate, key crypto.Signer, ca *authority) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = template.NotBefore.Add(validity)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := writePEM(p.path(file+".crt"), "CERTIFICATE", der); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// publish writes the lab's authority next to the captures, so that the
// certificates in them can be verified; keep keeps the ones already there.
func (p *pki) publish(path string, keep bool) error {
	var bundle []byte
	if keep {
		var err error
		if bundle, err = os.ReadFile(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.ca.Raw})...)
	return os.WriteFile(path, bundle, 0o644)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
