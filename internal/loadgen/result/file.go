package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// FileName of a result inside its run's folder.
const FileName = "result.json"

// latest is the link that points at the newest run.
const latest = "latest"

// NewID names a run of a scenario begun at t; it is also the run's folder.
func NewID(t time.Time, name string) string {
	return t.UTC().Format("20060102T150405.000Z") + "-" + name
}

// Read reads a result file, or the one inside a run's folder.
func Read(path string) (*Result, error) {
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		path = filepath.Join(path, FileName)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read result: %w", err)
	}
	var head struct {
		Version *int `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("%s: not a result file: %w", path, err)
	}
	if head.Version == nil {
		return nil, fmt.Errorf("%s: not a result file: it has no version", path)
	}
	if *head.Version != Version {
		return nil, fmt.Errorf("%s: result file version %d, this program reads version %d", path, *head.Version, Version)
	}
	r := new(Result)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.Scenario == nil {
		return nil, fmt.Errorf("%s: not a whole result file: it has no scenario", path)
	}
	return r, nil
}

// Encode is the result as its file holds it.
func (r *Result) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	return append(b, '\n'), nil
}

// SaveRun writes files, by their paths relative to the run's folder, to
// root/id and points root/latest at it. The folder appears whole or not at all:
// it is filled under a temporary name and renamed. It returns the folder's path
// once the folder is there, also with an error that latest could not be moved.
func SaveRun(root, id string, files map[string][]byte) (dir string, err error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", fmt.Errorf("save run: %w", err)
	}
	tmp, err := os.MkdirTemp(root, ".unfinished-")
	if err != nil {
		return "", fmt.Errorf("save run: %w", err)
	}
	defer func() {
		if dir == "" {
			err = errors.Join(fmt.Errorf("save run: %w", err), os.RemoveAll(tmp))
		}
	}()
	for name, content := range files {
		path := filepath.Join(tmp, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return "", err
		}
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	final := filepath.Join(root, id)
	if err := os.Rename(tmp, final); err != nil {
		return "", err
	}
	return final, pointLatest(root, id)
}

// pointLatest replaces the link in one step. Something else of that name, a
// folder say, is left alone and reported.
func pointLatest(root, id string) error {
	link := filepath.Join(root, latest)
	if fi, err := os.Lstat(link); err == nil && fi.Mode()&fs.ModeSymlink == 0 {
		return fmt.Errorf("point %s at the newest run: it is no symbolic link", link)
	}
	tmp := filepath.Join(root, "."+latest+"-"+id)
	if err := os.Symlink(id, tmp); err != nil {
		return fmt.Errorf("point %s at the newest run: %w", link, err)
	}
	if err := os.Rename(tmp, link); err != nil {
		return errors.Join(fmt.Errorf("point %s at the newest run: %w", link, err), os.Remove(tmp))
	}
	return nil
}
