// Checkproof checks one C2SP tlog-proof with the Go checksum database's own
// code, golang.org/x/mod/sumdb/note and tlog. It shares no line with the
// program that wrote the proof.
//
// Usage:
//
//	checkproof PROOF ENTRY VKEY
//
// PROOF is a file in the format c2sp.org/tlog-proof@v1, ENTRY a file with the
// bytes of the entry, VKEY the log's Ed25519 key. It checks that the proof has
// the one canonical spelling, that its checkpoint is a note signed by VKEY whose
// origin is the key's name, and that the entry is at the index that the proof
// names in the tree of the checkpoint.
//
// On success it prints one JSON line and exits 0. On failure it prints one
// plain line on standard error and exits 1; a wrong command line exits 2.
//
// Build it as checklog is built: in GOPATH mode against Debian's
// golang-golang-x-mod-dev.
package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A report is what checkproof prints after it found nothing wrong.
type report struct {
	Origin string `json:"origin"`
	Index  int64  `json:"index"`
	Size   int64  `json:"size"`
	Root   string `json:"root"`
	Hashes int    `json:"hashes"` // in the inclusion proof
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: checkproof PROOF ENTRY VKEY")
		os.Exit(2)
	}
	result, err := checkProof(os.Args[1], os.Args[2], os.Args[3])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(result)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "checkproof: %v\n", err)
		os.Exit(1)
	}
}

func checkProof(proofPath, entryPath, vkey string) (*report, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("vkey: %w", err)
	}
	data, err := os.ReadFile(proofPath)
	if err != nil {
		return nil, err
	}
	entry, err := os.ReadFile(entryPath)
	if err != nil {
		return nil, err
	}
	index, hashes, checkpoint, err := parseProof(string(data))
	if err != nil {
		return nil, err
	}
	tree, err := openCheckpoint(checkpoint, verifier)
	if err != nil {
		return nil, err
	}
	if index >= tree.N {
		return nil, fmt.Errorf("index %d is outside a tree of size %d", index, tree.N)
	}
	if err := tlog.CheckRecord(hashes, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
		return nil, fmt.Errorf("inclusion of entry %d: %w", index, err)
	}
	return &report{verifier.Name(), index, tree.N, tree.Hash.String(), len(hashes)}, nil
}

// parseProof reads "c2sp.org/tlog-proof@v1", the index and the hashes, and
// returns what stands after the empty line as it is. A proof with an "extra"
// line is not one of ours.
func parseProof(text string) (int64, tlog.RecordProof, []byte, error) {
	head, checkpoint, found := strings.Cut(text, "\n\n")
	if !found {
		return 0, nil, nil, errors.New("no empty line before the checkpoint")
	}
	lines := strings.Split(head, "\n")
	if len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return 0, nil, nil, errors.New("not a tlog-proof of version 1")
	}
	digits := strings.TrimPrefix(lines[1], "index ")
	index, err := decimal(digits)
	if err != nil || digits == lines[1] {
		return 0, nil, nil, fmt.Errorf("not an index: %q", lines[1])
	}
	var hashes tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := parseHash(line)
		if err != nil {
			return 0, nil, nil, err
		}
		hashes = append(hashes, hash)
	}
	return index, hashes, []byte(checkpoint), nil
}

// openCheckpoint verifies a note and reads its text: origin, size and root.
func openCheckpoint(data []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("checkpoint: %w", err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[3] != "" || lines[0] != verifier.Name() {
		return tlog.Tree{}, errors.New("checkpoint: not origin, size and root of this log")
	}
	size, err := decimal(lines[1])
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("checkpoint: not a tree size: %q", lines[1])
	}
	root, err := parseHash(lines[2])
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("checkpoint: %w", err)
	}
	return tlog.Tree{N: size, Hash: root}, nil
}

// decimal reads a number in its one canonical spelling.
func decimal(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != text {
		return 0, fmt.Errorf("not a number: %q", text)
	}
	return n, nil
}

func parseHash(text string) (tlog.Hash, error) {
	var hash tlog.Hash
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(data) != tlog.HashSize || base64.StdEncoding.EncodeToString(data) != text {
		return hash, fmt.Errorf("not a hash: %q", text)
	}
	copy(hash[:], data)
	return hash, nil
}
