package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// codeOf is the exit code of a program that ended with err.
func codeOf(err error) string {
	if err == nil {
		return "0"
	}
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return fmt.Sprint(e.ExitCode())
	}
	return err.Error()
}

// makeInputs writes the captures that no real network is needed for, and a CA.
func makeInputs(dir string) error {
	ca, err := newCA()
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"ca.der":     ca,
		"ca.pem":     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca}),
		"empty.pcap": pcapHeader(),
		"arp.pcap":   slices.Concat(pcapHeader(), record(arp())),
		"cut.pcap":   slices.Concat(pcapHeader(), record(arp()), record(arp())[:30]),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// pcapHeader is the beginning of a capture of Ethernet.
func pcapHeader() []byte {
	return []byte{
		0xd4, 0xc3, 0xb2, 0xa1, // magic: little-endian, microseconds
		2, 0, 4, 0, // version 2.4
		0, 0, 0, 0, 0, 0, 0, 0, // time zone, accuracy
		0, 0, 4, 0, // snaplen 262144
		1, 0, 0, 0, // link type: Ethernet
	}
}

// record is a packet as it stands in the file.
func record(packet []byte) []byte {
	n := byte(len(packet))
	return append([]byte{
		0x80, 0x92, 0x1e, 0x69, // 2025-11-20 04:00:00 UTC
		0, 0, 0, 0, // microseconds
		n, 0, 0, 0, // captured length
		n, 0, 0, 0, // length on the wire
	}, packet...)
}

// arp is an ARP request in Ethernet.
func arp() []byte {
	return []byte{
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // to everybody
		2, 0, 0, 0, 0, 1, // from
		0x08, 0x06, // ARP
		0, 1, 8, 0, 6, 4, // Ethernet, IPv4
		0, 1, // request
		2, 0, 0, 0, 0, 1, 10, 0, 0, 1, // sender
		0, 0, 0, 0, 0, 0, 10, 0, 0, 2, // target
	}
}

// newCA makes a certificate that signed itself.
func newCA() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
}
