package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inDirectory changes to a new directory with the given files.
func inDirectory(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCompare(t *testing.T) {
	generated := map[string]string{"a/a.pb.go": "a", "nested/b.pb.go": "b"}
	for _, test := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"up to date", map[string]string{"a/a.pb.go": "a", "nested/b.pb.go": "b", "nested/go.mod": "", "main.go": ""}, nil},
		{"stale", map[string]string{"a/a.pb.go": "old", "nested/b.pb.go": "b"}, []string{"a/a.pb.go is stale"}},
		{"missing", map[string]string{"a/a.pb.go": "a"}, []string{"nested/b.pb.go is missing"}},
		{"orphan", map[string]string{"a/a.pb.go": "a", "nested/b.pb.go": "b", "a/old_ttrpc.pb.go": ""}, []string{"a/old_ttrpc.pb.go is generated from nothing"}},
		{"another module's", map[string]string{"a/a.pb.go": "a", "nested/b.pb.go": "b", "other/go.mod": "", "other/c.pb.go": ""}, nil},
		{"in a hidden directory", map[string]string{"a/a.pb.go": "a", "nested/b.pb.go": "b", ".cache/c.pb.go": ""}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			inDirectory(t, test.files)
			err := compare(generated)
			if test.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.HasSuffix(err.Error(), ":\n\t"+strings.Join(test.want, "\n\t")) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	inDirectory(t, map[string]string{"a.pb.go": "old", "b.pb.go": "same"})
	generated := map[string]string{"a.pb.go": "new", "b.pb.go": "same", "dir/c.pb.go": "new"}
	if err := write(generated); err != nil {
		t.Fatal(err)
	}
	if err := compare(generated); err != nil {
		t.Error(err)
	}
}
