package gentest

import (
	"context"
	"testing"

	"github.com/gogo/protobuf/types"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/gentest/exercise"
	gogobasic "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/basic"
	gogoopts "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/gogoopts"
	gogoimports "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/imports"
	gogoclient "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/imports/client"
	gogoctx "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/imports/context"
	gogoio "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/imports/io"
	gogoone "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/imports/one/types"
	gogoreq "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/imports/req"
	gogostream "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/imports/stream"
	gogottrpc "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/imports/ttrpc"
	gogotwo "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/imports/two/types"
	gogokeyword "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/keyword"
	gogolegacy "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/legacy"
	gogonames "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/names"
	gogonopackage "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/nopackage"
	gogopublic "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/public"
	gogopublicinner "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/public/inner"
	gogosplit "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/split"
	gogowellknown "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/wellknown"
)

// Servers for the code of protoc-gen-gogottrpc. Each method sends its
// messages back.

type gogoNotes struct{}

func (gogoNotes) Echo(_ context.Context, m *gogobasic.Note) (*gogobasic.Note, error) { return m, nil }
func (gogoNotes) Nested(_ context.Context, m *gogobasic.Note_Part) (*gogobasic.Note_Part, error) {
	return m, nil
}
func (gogoNotes) Watch(_ context.Context, m *gogobasic.Note, s gogobasic.Notes_WatchServer) error {
	return exercise.Watch(m, s)
}
func (gogoNotes) Upload(_ context.Context, s gogobasic.Notes_UploadServer) (*gogobasic.Note, error) {
	return exercise.Upload[*gogobasic.Note](s)
}
func (gogoNotes) Chat(_ context.Context, s gogobasic.Notes_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*gogobasic.Note])
}
func (gogoNotes) Lowercase(_ context.Context, m *gogobasic.Note) (*gogobasic.Note, error) {
	return m, nil
}
func (gogoNotes) LowerStream(_ context.Context, s gogobasic.Notes_LowerStreamServer) error {
	return exercise.Chat(s, exercise.Same[*gogobasic.Note])
}
func (gogoNotes) Old(_ context.Context, m *gogobasic.Note) (*gogobasic.Note, error)   { return m, nil }
func (gogoNotes) Older(_ context.Context, m *gogobasic.Note) (*gogobasic.Note, error) { return m, nil }
func (gogoNotes) OldWatch(_ context.Context, m *gogobasic.Note, s gogobasic.Notes_OldWatchServer) error {
	return exercise.Watch(m, s)
}

type gogoBare struct{}

func (gogoBare) Echo(_ context.Context, m *gogonopackage.BareNote) (*gogonopackage.BareNote, error) {
	return m, nil
}
func (gogoBare) Chat(_ context.Context, s gogonopackage.Bare_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*gogonopackage.BareNote])
}

type gogoClient struct{}

func (gogoClient) Call(_ context.Context, m *gogonames.Note) (*gogonames.Note, error)  { return m, nil }
func (gogoClient) Close(_ context.Context, m *gogonames.Note) (*gogonames.Note, error) { return m, nil }
func (gogoClient) Context(_ context.Context, m *gogonames.Note) (*gogonames.Note, error) {
	return m, nil
}
func (gogoClient) String(_ context.Context, m *gogonames.Note) (*gogonames.Note, error) {
	return m, nil
}
func (gogoClient) Send(_ context.Context, s gogonames.Client_SendServer) error {
	return exercise.Chat(s, exercise.Same[*gogonames.Note])
}
func (gogoClient) Recv(_ context.Context, s gogonames.Client_RecvServer) error {
	return exercise.Chat(s, exercise.Same[*gogonames.Note])
}
func (gogoClient) SendMsg(_ context.Context, s gogonames.Client_SendMsgServer) (*gogonames.Note, error) {
	return exercise.Upload[*gogonames.Note](s)
}
func (gogoClient) RecvMsg(_ context.Context, m *gogonames.Note, s gogonames.Client_RecvMsgServer) error {
	return exercise.Watch(m, s)
}
func (gogoClient) CloseSend(_ context.Context, s gogonames.Client_CloseSendServer) (*gogonames.Note, error) {
	return exercise.Upload[*gogonames.Note](s)
}
func (gogoClient) CloseAndRecv(_ context.Context, s gogonames.Client_CloseAndRecvServer) (*gogonames.Note, error) {
	return exercise.Upload[*gogonames.Note](s)
}
func (gogoClient) ClientStream(_ context.Context, s gogonames.Client_ClientStreamServer) error {
	return exercise.Chat(s, exercise.Same[*gogonames.Note])
}
func (gogoClient) StreamServer(_ context.Context, s gogonames.Client_StreamServerServer) error {
	return exercise.Chat(s, exercise.Same[*gogonames.Note])
}

type gogoServer struct{}

func (gogoServer) Register(_ context.Context, m *gogonames.Note) (*gogonames.Note, error) {
	return m, nil
}
func (gogoServer) RegisterService(_ context.Context, m *gogonames.Note) (*gogonames.Note, error) {
	return m, nil
}
func (gogoServer) Serve(_ context.Context, s gogonames.Server_ServeServer) error {
	return exercise.Chat(s, exercise.Same[*gogonames.Note])
}

type gogoTaken struct{}

func (gogoTaken) Echo(_ context.Context, m *gogonames.TakenService) (*gogonames.TakenService, error) {
	return m, nil
}
func (gogoTaken) Watch(_ context.Context, m *gogonames.TakenClient, s gogonames.Taken_WatchServer) error {
	return exercise.Watch(m, s)
}
func (gogoTaken) Chat(_ context.Context, s gogonames.Taken_ChatServer_) error {
	return exercise.Chat(s, func(m *gogonames.Taken_ChatServer) *gogonames.Taken_ChatClient {
		return &gogonames.Taken_ChatClient{Text: m.Text}
	})
}

type gogoImported struct{}

func (gogoImported) Echo(_ context.Context, m *gogonames.ImportedService) (*gogonames.ImportedService, error) {
	return m, nil
}

type gogoOuterIn struct{}

func (gogoOuterIn) Echo(_ context.Context, m *gogonames.Outer) (*gogonames.Outer, error) {
	return m, nil
}
func (gogoOuterIn) Chat(_ context.Context, s gogonames.Outer_In_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*gogonames.Outer])
}

type gogoFoo struct{}

func (gogoFoo) Echo(_ context.Context, m *gogonames.Note) (*gogonames.Note, error) { return m, nil }
func (gogoFoo) Chat(_ context.Context, s gogonames.Foo_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*gogonames.Note])
}

type gogoNewFoo struct{}

func (gogoNewFoo) Chat(_ context.Context, s gogonames.NewFoo_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*gogonames.Note])
}

type gogoA struct{}

func (gogoA) B_C(_ context.Context, s gogonames.A_B_CServer) error {
	return exercise.Chat(s, exercise.Same[*gogonames.Note])
}

type gogoAB struct{}

func (gogoAB) C(_ context.Context, s gogonames.A_B_CServer_) error {
	return exercise.Chat(s, exercise.Same[*gogonames.Note])
}

type gogoTwoWords struct{}

func (gogoTwoWords) GetIt(_ context.Context, m *gogonames.Note) (*gogonames.Note, error) {
	return m, nil
}

type gogoLower struct{}

func (gogoLower) Chat(_ context.Context, s gogonames.Lower_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*gogonames.Note])
}

type gogoImports struct{}

func (gogoImports) Types(_ context.Context, m *gogoone.Note) (*gogotwo.Note, error) {
	return &gogotwo.Note{Text: m.Text}, nil
}
func (gogoImports) Context(_ context.Context, m *gogoctx.Note) (*gogottrpc.Note, error) {
	return &gogottrpc.Note{Text: m.Text}, nil
}
func (gogoImports) Variables(_ context.Context, m *gogoreq.Note) (*gogoclient.Note, error) {
	return &gogoclient.Note{Text: m.Text}, nil
}
func (gogoImports) IO(_ context.Context, m *gogoio.Note) (*gogoio.Note, error) { return m, nil }
func (gogoImports) Watch(_ context.Context, m *gogoreq.Note, s gogoimports.Imports_WatchServer) error {
	return exercise.Watch(&gogostream.Note{Text: m.Text}, s)
}
func (gogoImports) Upload(_ context.Context, s gogoimports.Imports_UploadServer) (*gogoreq.Note, error) {
	m, err := exercise.Upload[*gogostream.Note](s)
	if err != nil {
		return nil, err
	}
	return &gogoreq.Note{Text: m.Text}, nil
}
func (gogoImports) Chat(_ context.Context, s gogoimports.Imports_ChatServer) error {
	return exercise.Chat(s, func(m *gogoctx.Note) *gogottrpc.Note { return &gogottrpc.Note{Text: m.Text} })
}

type gogoInterface struct{}

func (gogoInterface) Func(_ context.Context, m *gogokeyword.String) (*gogokeyword.Error, error) {
	return &gogokeyword.Error{Error: m.String_}, nil
}
func (gogoInterface) Range(_ context.Context, m *gogokeyword.String, s gogokeyword.Interface_RangeServer) error {
	return exercise.Watch(&gogokeyword.Error{Error: m.String_}, s)
}
func (gogoInterface) Nil(_ context.Context, s gogokeyword.Interface_NilServer) (*gogokeyword.Error, error) {
	m, err := exercise.Upload[*gogokeyword.String](s)
	if err != nil {
		return nil, err
	}
	return &gogokeyword.Error{Error: m.String_}, nil
}
func (gogoInterface) Go(_ context.Context, s gogokeyword.Interface_GoServer) error {
	return exercise.Chat(s, func(m *gogokeyword.String) *gogokeyword.Error { return &gogokeyword.Error{Error: m.String_} })
}

type gogoWellKnown struct{}

func (gogoWellKnown) Any(_ context.Context, m *types.Any) (*types.Any, error) { return m, nil }
func (gogoWellKnown) Duration(_ context.Context, m *types.Duration) (*types.Timestamp, error) {
	return &types.Timestamp{Seconds: m.Seconds}, nil
}
func (gogoWellKnown) Struct(context.Context, *types.Struct) (*types.StringValue, error) {
	return &types.StringValue{}, nil
}
func (gogoWellKnown) Empty(_ context.Context, m *types.Empty) (*types.Empty, error) { return m, nil }
func (gogoWellKnown) WatchEmpty(_ context.Context, m *types.Empty, s gogowellknown.WellKnown_WatchEmptyServer) error {
	return exercise.Watch(m, s)
}
func (gogoWellKnown) UploadEmpty(_ context.Context, s gogowellknown.WellKnown_UploadEmptyServer) (*types.Empty, error) {
	return exercise.Upload[*types.Empty](s)
}
func (gogoWellKnown) ChatEmpty(_ context.Context, s gogowellknown.WellKnown_ChatEmptyServer) error {
	return exercise.Chat(s, exercise.Same[*types.Empty])
}

type gogoSplit struct{}

func (gogoSplit) Echo(_ context.Context, m *gogosplit.Note) (*gogosplit.SplitService, error) {
	return &gogosplit.SplitService{Text: m.Text}, nil
}
func (gogoSplit) Chat(_ context.Context, s gogosplit.Split_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*gogosplit.Note])
}

type gogoLegacy struct{}

func (gogoLegacy) Echo(_ context.Context, m *gogolegacy.Note) (*gogolegacy.Note, error) {
	return m, nil
}
func (gogoLegacy) Watch(_ context.Context, m *gogolegacy.Note, s gogolegacy.Legacy_WatchServer) error {
	return exercise.Watch(m, s)
}

type gogoOptions struct{}

func (gogoOptions) Echo(_ context.Context, m *gogoopts.Note) (*gogoopts.Note, error) { return m, nil }
func (gogoOptions) Chat(_ context.Context, s gogoopts.Options_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*gogoopts.Note])
}

type gogoKeeper struct{}

func (gogoKeeper) Echo(_ context.Context, m *gogopublicinner.KeeperService) (*gogopublicinner.KeeperService, error) {
	return m, nil
}

type gogoPublicOuterIn struct{}

func (gogoPublicOuterIn) Echo(_ context.Context, m *gogopublicinner.Outer) (*gogopublicinner.Outer, error) {
	return m, nil
}
func (gogoPublicOuterIn) Chat(_ context.Context, s gogopublic.Outer_In_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*gogopublicinner.Outer])
}

type gogoShared struct{}

func (gogoShared) Echo(_ context.Context, m *gogopublic.Same) (*gogopublic.Same, error) {
	return m, nil
}

type gogoRenamed struct{}

func (gogoRenamed) Echo(_ context.Context, m *gogoopts.Note) (*gogoopts.Note, error) { return m, nil }
func (gogoRenamed) Watch(_ context.Context, m *gogoopts.Note, s gogoopts.Renamed_WatchServer) error {
	return exercise.Watch(m, s)
}
func (gogoRenamed) Chat(_ context.Context, s gogoopts.Renamed_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*gogoopts.Note])
}

func TestGogo(t *testing.T) {
	client := exercise.Connect(t, func(srv *ttrpc.Server) {
		gogobasic.RegisterNotesService(srv, gogoNotes{})
		gogobasic.RegisterPlainService(srv, gogoNotes{})
		gogobasic.RegisterRetiredService(srv, gogoNotes{})
		gogobasic.RegisterEmptyService(srv, gogoNotes{})
		gogonopackage.RegisterBareService(srv, gogoBare{})
		gogonames.RegisterClientService(srv, gogoClient{})
		gogonames.RegisterServerService(srv, gogoServer{})
		gogonames.RegisterTakenService_(srv, gogoTaken{})
		gogonames.RegisterImportedService(srv, gogoImported{})
		gogonames.RegisterOuter_InService(srv, gogoOuterIn{})
		gogonames.RegisterFooService(srv, gogoFoo{})
		gogonames.RegisterRegisterFooService(srv, gogoFoo{})
		gogonames.RegisterNewFooService(srv, gogoNewFoo{})
		gogonames.RegisterAService(srv, gogoA{})
		gogonames.RegisterA_BService(srv, gogoAB{})
		gogonames.RegisterTwoWordsService(srv, gogoTwoWords{})
		gogonames.RegisterLowerService(srv, gogoLower{})
		gogoimports.RegisterImportsService(srv, gogoImports{})
		gogokeyword.RegisterInterfaceService(srv, gogoInterface{})
		gogowellknown.RegisterWellKnownService(srv, gogoWellKnown{})
		gogosplit.RegisterSplitService(srv, gogoSplit{})
		gogolegacy.RegisterLegacyService(srv, gogoLegacy{})
		gogoopts.RegisterOptionsService(srv, gogoOptions{})
		gogopublic.RegisterKeeperService(srv, gogoKeeper{})
		gogopublic.RegisterOuter_InService(srv, gogoPublicOuterIn{})
		gogopublic.RegisterSharedService(srv, gogoShared{})
		gogopublic.RegisterDeeperService(srv, gogoKeeper{})
		gogoopts.RegisterRenamedService_(srv, gogoRenamed{})
		gogoopts.RegisterField_RenamedService(srv, gogoOptions{})
		gogoopts.RegisterPopulatedNoteService(srv, gogoOptions{})
		gogoopts.RegisterPrefixedService(srv, gogoOptions{})
	})
	for name, c := range map[string]any{
		"Notes":           gogobasic.NewNotesClient(client),
		"Plain":           gogobasic.NewPlainClient(client),
		"Retired":         gogobasic.NewRetiredClient(client),
		"Empty":           gogobasic.NewEmptyClient(client),
		"Bare":            gogonopackage.NewBareClient(client),
		"Client":          gogonames.NewClientClient(client),
		"Server":          gogonames.NewServerClient(client),
		"Taken":           gogonames.NewTakenClient_(client),
		"Imported":        gogonames.NewImportedClient(client),
		"Outer_In":        gogonames.NewOuter_InClient(client),
		"Foo":             gogonames.NewFooClient(client),
		"RegisterFoo":     gogonames.NewRegisterFooClient(client),
		"NewFoo":          gogonames.NewNewFooClient(client),
		"A":               gogonames.NewAClient(client),
		"A_B":             gogonames.NewA_BClient(client),
		"TwoWords":        gogonames.NewTwoWordsClient(client),
		"lower":           gogonames.NewLowerClient(client),
		"Imports":         gogoimports.NewImportsClient(client),
		"interface":       gogokeyword.NewInterfaceClient(client),
		"WellKnown":       gogowellknown.NewWellKnownClient(client),
		"Split":           gogosplit.NewSplitClient(client),
		"Legacy":          gogolegacy.NewLegacyClient(client),
		"Options":         gogoopts.NewOptionsClient(client),
		"Keeper":          gogopublic.NewKeeperClient(client),
		"public Outer_In": gogopublic.NewOuter_InClient(client),
		"Shared":          gogopublic.NewSharedClient(client),
		"Deeper":          gogopublic.NewDeeperClient(client),
		"Renamed":         gogoopts.NewRenamedClient(client),
		"Field_Renamed":   gogoopts.NewField_RenamedClient(client),
		"PopulatedNote":   gogoopts.NewPopulatedNoteClient_(client),
		"Prefixed":        gogoopts.NewPrefixedClient(client),
	} {
		t.Run(name, func(t *testing.T) { exercise.Client(t, c) })
	}
}
