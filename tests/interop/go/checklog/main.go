// Checklog reads a whole tlog-tiles log from a folder and checks it with the
// Go checksum database's own code, golang.org/x/mod/sumdb/note and tlog. It
// shares no line with the program that wrote the log.
//
// Usage:
//
//	checklog DIR VKEY [OLDER-CHECKPOINT...]
//
// It checks, in this order:
//
//   - DIR/checkpoint is a note signed by VKEY (Ed25519, type 0x01) whose text
//     is origin, size and root, spelled in the one canonical way, and whose
//     origin is the key's name;
//   - every entry in the entry bundles has the record hash that its tile holds,
//     and the entries alone, without any tile, give the checkpoint's root;
//   - every hash tile of that size exists and holds what the entries give;
//   - inclusion proofs made from the tiles hold for the first entry, the last
//     entry and every 257th (257 is not a multiple of the tile width, so the
//     places differ from tile to tile);
//   - consistency proofs made from the tiles hold from a few older sizes, whose
//     roots come from the entries, and from each OLDER-CHECKPOINT, a note of
//     the same log under the same key.
//
// It does not check witness lines, ML-DSA lines, or what the entries say.
//
// On success it prints one JSON line and exits 0. On failure it prints one
// plain line on standard error and exits 1; a wrong command line exits 2.
//
// Build it in GOPATH mode against Debian's golang-golang-x-mod-dev, which is
// version 0.7.0: tools/interop-setup.sh. Before 0.40.0 tlog.TileHashReader
// leaves a few full tiles unauthenticated (GO-2026-6179, CVE-2026-56865), so
// nothing here rests on it alone: each tile is also compared, byte by byte,
// with the tile that tlog computes from the entries.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height = 8           // fixed by tlog-tiles, and so absent from its paths
	width  = 1 << height // entries in a full bundle, hashes in a full tile
	stride = 257         // every stride-th entry gets an inclusion proof
)

// A report is what checklog prints after it found nothing wrong.
type report struct {
	Origin      string `json:"origin"`
	Size        int64  `json:"size"`
	Root        string `json:"root"`
	Checked     int64  `json:"checked"`     // entries whose record hash was recomputed
	Tiles       int    `json:"tiles"`       // hash tiles that were compared
	Inclusion   int    `json:"inclusion"`   // inclusion proofs
	Consistency int    `json:"consistency"` // consistency proofs
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: checklog DIR VKEY [OLDER-CHECKPOINT...]")
		os.Exit(2)
	}
	result, err := checkLog(os.Args[1], os.Args[2], os.Args[3:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(result)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "checklog: %v\n", err)
		os.Exit(1)
	}
}

// checkLog does everything that the package comment promises.
func checkLog(dir, vkey string, older []string) (*report, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("vkey: %w", err)
	}
	tree, err := openCheckpoint(filepath.Join(dir, "checkpoint"), verifier)
	if err != nil {
		return nil, err
	}
	result := &report{Origin: verifier.Name(), Size: tree.N, Root: tree.Hash.String()}
	if tree.N == 0 {
		// sumdb gives the empty tree an all-zero hash, RFC 6962 the hash of nothing.
		if tree.Hash != tlog.Hash(sha256.Sum256(nil)) {
			return nil, errors.New("the root of size 0 is not SHA-256 of nothing")
		}
		if len(older) > 0 {
			return nil, errors.New("an empty log has no older checkpoint")
		}
		return result, nil
	}

	reader := tlog.TileHashReader(tree, tileReader{dir})
	rebuilt, err := checkEntries(dir, tree, reader)
	if err != nil {
		return nil, err
	}
	result.Checked = tree.N
	if result.Tiles, err = checkTiles(dir, tree, rebuilt); err != nil {
		return nil, err
	}
	if result.Inclusion, err = checkInclusion(tree, reader, rebuilt); err != nil {
		return nil, err
	}
	if result.Consistency, err = checkConsistency(tree, reader, rebuilt); err != nil {
		return nil, err
	}
	for _, path := range older {
		old, err := openCheckpoint(path, verifier)
		if err != nil {
			return nil, err
		}
		if err := checkOlder(tree, reader, old); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		result.Consistency++
	}
	return result, nil
}

// openCheckpoint reads a signed note and parses its text as a checkpoint.
//
// tlog.ParseTree is no help here: it wants the header "go.sum database tree"
// where a C2SP checkpoint has its origin.
func openCheckpoint(path string, verifier note.Verifier) (tlog.Tree, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("%s: %w", path, err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return tlog.Tree{}, fmt.Errorf("%s: the text is not three lines", path)
	}
	if lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("%s: origin %q, but the key is of %q", path, lines[0], verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, fmt.Errorf("%s: not a tree size: %q", path, lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("%s: not a root hash: %q", path, lines[2])
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	return tree, nil
}

// checkEntries compares every entry with the hash in its tile, and the root
// that the entries give with the checkpoint's.
// It returns a hash reader filled from the entries alone.
func checkEntries(dir string, tree tlog.Tree, reader tlog.HashReader) (rebuiltHashes, error) {
	var rebuilt rebuiltHashes
	// One call of ReadHashes authenticates all its tiles at once and keeps them
	// in memory until it returns: 256 tiles a call bound that to 2 MiB.
	const batch = width * width
	for start := int64(0); start < tree.N; start += batch {
		end := min64(start+batch, tree.N)
		indexes := make([]int64, 0, end-start)
		for i := start; i < end; i++ {
			indexes = append(indexes, tlog.StoredHashIndex(0, i))
		}
		expected, err := reader.ReadHashes(indexes)
		if err != nil {
			return nil, fmt.Errorf("hash tiles for entries %d to %d: %w", start, end-1, err)
		}
		for first := start; first < end; first += width {
			entries, err := readBundle(dir, first/width, int(min64(width, tree.N-first)))
			if err != nil {
				return nil, err
			}
			for k, entry := range entries {
				i := first + int64(k)
				if tlog.RecordHash(entry) != expected[i-start] {
					return nil, fmt.Errorf("entry %d does not have the hash that its tile holds", i)
				}
				hashes, err := tlog.StoredHashes(i, entry, rebuilt)
				if err != nil {
					return nil, err
				}
				rebuilt = append(rebuilt, hashes...)
			}
		}
	}
	root, err := tlog.TreeHash(tree.N, rebuilt)
	if err != nil {
		return nil, err
	}
	if root != tree.Hash {
		return nil, fmt.Errorf("the entries give root %v, the checkpoint has %v", root, tree.Hash)
	}
	return rebuilt, nil
}

// checkTiles compares every hash tile of the tree with the entries.
func checkTiles(dir string, tree tlog.Tree, rebuilt rebuiltHashes) (int, error) {
	tiles := tilesOf(tree.N)
	for _, tile := range tiles {
		data, err := tileReader{dir}.ReadTiles([]tlog.Tile{tile})
		if err != nil {
			return 0, err
		}
		expected, err := tlog.ReadTileData(tile, rebuilt)
		if err != nil {
			return 0, err
		}
		if !bytes.Equal(data[0], expected) {
			return 0, fmt.Errorf("%s does not hold the hashes that the entries give", tilePath(tile))
		}
	}
	return len(tiles), nil
}

// checkInclusion proves a sample of entries from the tiles.
func checkInclusion(tree tlog.Tree, reader tlog.HashReader, rebuilt rebuiltHashes) (int, error) {
	var places []int64
	for i := int64(0); i < tree.N; i += stride {
		places = append(places, i)
	}
	if last := tree.N - 1; last%stride != 0 {
		places = append(places, last)
	}
	for _, i := range places {
		proof, err := tlog.ProveRecord(tree.N, i, reader)
		if err != nil {
			return 0, fmt.Errorf("inclusion of entry %d: %w", i, err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, i, rebuilt[tlog.StoredHashIndex(0, i)]); err != nil {
			return 0, fmt.Errorf("inclusion of entry %d: %w", i, err)
		}
	}
	return len(places), nil
}

// checkConsistency proves from the tiles that the tree grew out of older ones
// whose roots are computed from the entries.
func checkConsistency(tree tlog.Tree, reader tlog.HashReader, rebuilt rebuiltHashes) (int, error) {
	count := 0
	done := make(map[int64]bool)
	for _, size := range []int64{1, 2, 3, width - 1, width, width + 1, tree.N / 3, tree.N / 2, tree.N - 1, tree.N} {
		if size < 1 || size > tree.N || done[size] {
			continue
		}
		done[size] = true
		root, err := tlog.TreeHash(size, rebuilt)
		if err != nil {
			return 0, err
		}
		if err := checkOlder(tree, reader, tlog.Tree{N: size, Hash: root}); err != nil {
			return 0, err
		}
		count++
	}
	return count, nil
}

// checkOlder proves that tree extends old.
func checkOlder(tree tlog.Tree, reader tlog.HashReader, old tlog.Tree) error {
	if old.N < 1 || old.N > tree.N {
		return fmt.Errorf("no proof from size %d to size %d", old.N, tree.N)
	}
	proof, err := tlog.ProveTree(tree.N, old.N, reader)
	if err != nil {
		return fmt.Errorf("consistency from size %d: %w", old.N, err)
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
		return fmt.Errorf("consistency from size %d: %w", old.N, err)
	}
	return nil
}

// rebuiltHashes holds the hashes that the entries give, in tlog's storage order.
type rebuiltHashes []tlog.Hash

func (h rebuiltHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= int64(len(h)) {
			return nil, fmt.Errorf("no stored hash %d", x)
		}
		hashes[i] = h[x]
	}
	return hashes, nil
}

// A tileReader reads hash tiles from a folder.
type tileReader struct {
	dir string
}

func (r tileReader) Height() int { return height }

func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		content, isFull, err := readPartial(r.dir, tilePath(tile), tile.W)
		if err != nil {
			return nil, err
		}
		held := tile.W
		if isFull {
			held = width
		}
		if len(content) != held*tlog.HashSize {
			return nil, fmt.Errorf("%s has %d bytes, not %d", tilePath(tile), len(content), held*tlog.HashSize)
		}
		data[i] = content[:tile.W*tlog.HashSize]
	}
	return data, nil
}

// SaveTiles is tlog's offer to cache a tile; the folder is close enough.
func (r tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

// tilesOf lists the hash tiles of a tree of the given size. tlog.NewTiles would
// also list every narrower partial tile, which a log need not keep.
func tilesOf(size int64) []tlog.Tile {
	var tiles []tlog.Tile
	for level, n := 0, size; n > 0; level, n = level+1, n>>height {
		for i := int64(0); i < n>>height; i++ {
			tiles = append(tiles, tlog.Tile{H: height, L: level, N: i, W: width})
		}
		if w := int(n % width); w != 0 {
			tiles = append(tiles, tlog.Tile{H: height, L: level, N: n >> height, W: w})
		}
	}
	return tiles
}

// tilePath gives the tlog-tiles path: sumdb's "tile/8/L/N" without the height.
func tilePath(tile tlog.Tile) string {
	return strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
}

// bundlePath gives the path of an entry bundle, in the spelling that sumdb uses
// for the data of a level-0 tile, "tile/8/data/N".
func bundlePath(n int64, w int) string {
	data := tlog.Tile{H: height, L: -1, N: n, W: w}
	return strings.Replace(data.Path(), fmt.Sprintf("tile/%d/data/", height), "tile/entries/", 1)
}

// readPartial reads a tile or bundle of w items. A log may drop a partial one
// once the full one exists, so that one serves in its place.
func readPartial(dir, path string, w int) (data []byte, isFull bool, err error) {
	data, err = os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
	if w == width {
		return data, true, err
	}
	if errors.Is(err, fs.ErrNotExist) {
		full := strings.TrimSuffix(path, fmt.Sprintf(".p/%d", w))
		if data, fullErr := os.ReadFile(filepath.Join(dir, filepath.FromSlash(full))); fullErr == nil {
			return data, true, nil
		}
	}
	return data, false, err
}

// readBundle gives the first w entries of a bundle. The bundle must hold
// exactly as many as its path says, and nothing after them.
func readBundle(dir string, n int64, w int) ([][]byte, error) {
	path := bundlePath(n, w)
	data, isFull, err := readPartial(dir, path, w)
	if err != nil {
		return nil, err
	}
	held := w
	if isFull {
		held = width
	}
	entries := make([][]byte, 0, held)
	rest := bytes.NewBuffer(data)
	for len(entries) < held {
		prefix := rest.Next(2)
		if len(prefix) != 2 {
			return nil, fmt.Errorf("%s ends after %d of %d entries", path, len(entries), held)
		}
		length := int(binary.BigEndian.Uint16(prefix))
		entry := rest.Next(length)
		if len(entry) != length {
			return nil, fmt.Errorf("%s ends inside entry %d", path, n*width+int64(len(entries)))
		}
		entries = append(entries, entry)
	}
	if rest.Len() != 0 {
		return nil, fmt.Errorf("%s has %d bytes after its last entry", path, rest.Len())
	}
	return entries[:w], nil
}

func min64(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}
