// Package newest tests the generator in a program that has the newest version
// of everything, and the proto files that only those understand.
package newest

import (
	"context"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/gentest/exercise"
	"github.com/containerd/ttrpc/internal/gentest/newest/edition2023"
)

type editions struct{}

func (editions) Echo(_ context.Context, m *edition2023.Note) (*edition2023.Note, error) {
	return m, nil
}
func (editions) Watch(_ context.Context, m *edition2023.Note, s edition2023.Editions_WatchServer) error {
	return exercise.Watch(m, s)
}
func (editions) Upload(_ context.Context, s edition2023.Editions_UploadServer) (*edition2023.Note, error) {
	return exercise.Upload[*edition2023.Note](s)
}
func (editions) Chat(_ context.Context, s edition2023.Editions_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*edition2023.Note])
}

func TestEdition2023(t *testing.T) {
	client := exercise.Connect(t, func(srv *ttrpc.Server) { edition2023.RegisterEditionsService(srv, editions{}) })
	exercise.Client(t, edition2023.NewEditionsClient(client))
}
