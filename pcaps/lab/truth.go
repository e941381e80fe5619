//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
)

// truth is what is known about one capture without looking at it. README.md
// in the folder of the captures defines the format.
type truth struct {
	Story       string       `json:"story"`
	Connections []connection `json:"connections"`
	Nodes       []nodeTruth  `json:"nodes,omitempty"`
}

// nodeTruth is what a node says of itself, and others of it.
type nodeTruth struct {
	Name string `json:"name"`
	// Creations are those of its starts; absent if it does not tell.
	Creations      []uint32 `json:"creations,omitempty"`
	Hidden         bool     `json:"hidden"`
	Implementation string   `json:"implementation"`
	Listener       string   `json:"listener,omitempty"`
}

// connection is one connection that is not EPMD's, in the order of dialling.
type connection struct {
	Client     string `json:"client"`
	ClientNode string `json:"client_node,omitempty"`
	Server     string `json:"server"`
	ServerPort int    `json:"server_port"`
	ServerNode string `json:"server_node,omitempty"`
	Protocol   string `json:"protocol"`
	// Verdict is null for what is not distribution.
	Verdict           *string `json:"verdict"`
	StateUp           bool    `json:"state_up"`
	Midstream         bool    `json:"midstream,omitempty"`
	ClientCertificate string  `json:"client_certificate,omitempty"`
	TLSVersion        string  `json:"tls_version,omitempty"`
}

func readTruth(path string) (map[string]truth, error) {
	truths := map[string]truth{}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return truths, nil
	}
	if err != nil {
		return nil, err
	}
	return truths, json.Unmarshal(text, &truths)
}

func writeTruth(path string, truths map[string]truth) error {
	text, err := json.MarshalIndent(truths, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
