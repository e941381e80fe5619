package main

import (
	"crypto/x509"
	"os"
	"path/filepath"
)

// addCAs adds the certificates of a file, or of the files in a folder. A path
// without any is an error: nothing would verify, for a reason hard to see. by is
// the flag or the line that names the path.
func addCAs(pool *x509.CertPool, by, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fileError("", by, path, err)
	}
	files := []string{path}
	if info.IsDir() {
		if files, err = regularFiles(path); err != nil {
			return fileError("", by, path, err)
		}
	}
	any := false
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return fileError("", by, file, err)
		}
		any = addCertificates(pool, data) || any
	}
	if !any {
		return usagef("--ca takes PEM or DER certificates, or a folder with such files; so does cas in a policy", "%s %s: no certificate found", by, path)
	}
	return nil
}

// addCertificates takes PEM, or a single certificate in DER.
func addCertificates(pool *x509.CertPool, data []byte) bool {
	if pool.AppendCertsFromPEM(data) {
		return true
	}
	cert, err := x509.ParseCertificate(data)
	if err != nil {
		return false
	}
	pool.AddCert(cert)
	return true
}

// regularFiles lists the files directly in a folder. Links are followed, as
// the folders of c_rehash are made of them.
func regularFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			files = append(files, path)
		}
	}
	return files, nil
}
