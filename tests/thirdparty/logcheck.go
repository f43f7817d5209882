// Checks an exported log of Sanjin with nothing of Sanjin: golang.org/x/mod/sumdb/{note,tlog}, which verify
// Go's own checksum database.
//
//	logcheck KEY FOLDER [OLDER-CHECKPOINT]
//
// The checkpoint's signature is verified (note.Open), every tile is authenticated against its root
// (tlog.TileHashReader), every entry of the bundles is
// proven to be in the tree (and by a proof of its own, tlog.CheckRecord), and, with
// an older checkpoint, that the tree goes on from it (tlog.CheckTree).
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// path is the path of a tile as c2sp.org/tlog-tiles has it: that of Go without the height.
func path(t tlog.Tile) string {
	return strings.Replace(t.Path(), "tile/8/", "tile/", 1)
}

type folder string

func (f folder) Height() int                        { return 8 }
func (f folder) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, t := range tiles {
		data, err := os.ReadFile(filepath.Join(string(f), path(t)))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

// open gives the tree that a checkpoint signed by the key is about.
func open(file string, verifier note.Verifier) tlog.Tree {
	data, err := os.ReadFile(file)
	check(err)
	signed, err := note.Open(data, note.VerifierList(verifier))
	check(err)
	lines := strings.Split(signed.Text, "\n")
	if lines[0] != verifier.Name() {
		check(fmt.Errorf("the checkpoint is of %s", lines[0]))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	root, err := tlog.ParseHash(lines[2])
	check(err)
	return tlog.Tree{N: size, Hash: root}
}

func main() {
	verifier, err := note.NewVerifier(os.Args[1])
	check(err)
	dir := os.Args[2]
	tree := open(filepath.Join(dir, "checkpoint"), verifier)
	reader := tlog.TileHashReader(tree, folder(dir))
	root, err := tlog.TreeHash(tree.N, reader)
	check(err)
	if root != tree.Hash {
		check(fmt.Errorf("the tiles lead to %s, signed is %s", root, tree.Hash))
	}
	for first := int64(0); first < tree.N; first += 256 {
		width := tree.N - first
		if width > 256 {
			width = 256
		}
		name := path(tlog.Tile{H: 8, L: -1, N: first / 256, W: int(width)})
		data, err := os.ReadFile(filepath.Join(dir, strings.Replace(name, "data", "entries", 1)))
		check(err)
		// the reader gives hashes only once it has proven them to be in the tree
		var indexes []int64
		for n := first; n < first+width; n++ {
			indexes = append(indexes, tlog.StoredHashIndex(0, n))
		}
		proven, err := reader.ReadHashes(indexes)
		check(err)
		n := first
		for ; len(data) > 0; n++ {
			length := int(binary.BigEndian.Uint16(data))
			leaf := data[2 : 2+length]
			data = data[2+length:]
			if n >= first+width || tlog.RecordHash(leaf) != proven[n-first] {
				check(fmt.Errorf("entry %d is not in the tree", n))
			}
			if tree.N > 2000 && n%97 != 0 {
				continue // of a large log, proofs of some: each reads its tiles again
			}
			proof, err := tlog.ProveRecord(tree.N, n, reader)
			check(err)
			check(tlog.CheckRecord(proof, tree.N, tree.Hash, n, tlog.RecordHash(leaf)))
		}
		if n != first+width {
			check(fmt.Errorf("a bundle has %d entries", n-first))
		}
	}
	if len(os.Args) > 3 {
		old := open(os.Args[3], verifier)
		proof, err := tlog.ProveTree(tree.N, old.N, reader)
		check(err)
		check(tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash))
		fmt.Printf("goes on from %d; ", old.N)
	}
	fmt.Printf("%d entries\n", tree.N)
}
