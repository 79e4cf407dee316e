package gentest

import (
	"context"
	"net"
	"testing"

	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/gentest/exercise"
	pbbasic "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/basic"
	pbimports "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/imports"
	pbclient "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/imports/client"
	pbctx "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/imports/context"
	pbio "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/imports/io"
	pbone "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/imports/one/types"
	pbreq "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/imports/req"
	pbstream "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/imports/stream"
	pbttrpc "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/imports/ttrpc"
	pbtwo "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/imports/two/types"
	pbkeyword "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/keyword"
	pblegacy "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/legacy"
	pbnames "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/names"
	pbnopackage "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/nopackage"
	pboptional "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/optional"
	pbpublic "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/public"
	pbpublicinner "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/public/inner"
	pbsplit "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/split"
	pbwellknown "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/wellknown"
)

// Servers for the code of protoc-gen-go-ttrpc. Each method sends its
// messages back.

type pbNotes struct{}

func (pbNotes) Echo(_ context.Context, m *pbbasic.Note) (*pbbasic.Note, error) { return m, nil }
func (pbNotes) Nested(_ context.Context, m *pbbasic.Note_Part) (*pbbasic.Note_Part, error) {
	return m, nil
}
func (pbNotes) Watch(_ context.Context, m *pbbasic.Note, s pbbasic.Notes_WatchServer) error {
	return exercise.Watch(m, s)
}
func (pbNotes) Upload(_ context.Context, s pbbasic.Notes_UploadServer) (*pbbasic.Note, error) {
	return exercise.Upload[*pbbasic.Note](s)
}
func (pbNotes) Chat(_ context.Context, s pbbasic.Notes_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*pbbasic.Note])
}
func (pbNotes) Lowercase(_ context.Context, m *pbbasic.Note) (*pbbasic.Note, error) { return m, nil }
func (pbNotes) LowerStream(_ context.Context, s pbbasic.Notes_LowerStreamServer) error {
	return exercise.Chat(s, exercise.Same[*pbbasic.Note])
}
func (pbNotes) Old(_ context.Context, m *pbbasic.Note) (*pbbasic.Note, error)   { return m, nil }
func (pbNotes) Older(_ context.Context, m *pbbasic.Note) (*pbbasic.Note, error) { return m, nil }
func (pbNotes) OldWatch(_ context.Context, m *pbbasic.Note, s pbbasic.Notes_OldWatchServer) error {
	return exercise.Watch(m, s)
}

type pbBare struct{}

func (pbBare) Echo(_ context.Context, m *pbnopackage.BareNote) (*pbnopackage.BareNote, error) {
	return m, nil
}
func (pbBare) Chat(_ context.Context, s pbnopackage.Bare_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*pbnopackage.BareNote])
}

type pbClient struct{}

func (pbClient) Call(_ context.Context, m *pbnames.Note) (*pbnames.Note, error)    { return m, nil }
func (pbClient) Close(_ context.Context, m *pbnames.Note) (*pbnames.Note, error)   { return m, nil }
func (pbClient) Context(_ context.Context, m *pbnames.Note) (*pbnames.Note, error) { return m, nil }
func (pbClient) String(_ context.Context, m *pbnames.Note) (*pbnames.Note, error)  { return m, nil }
func (pbClient) Send(_ context.Context, s pbnames.Client_SendServer) error {
	return exercise.Chat(s, exercise.Same[*pbnames.Note])
}
func (pbClient) Recv(_ context.Context, s pbnames.Client_RecvServer) error {
	return exercise.Chat(s, exercise.Same[*pbnames.Note])
}
func (pbClient) SendMsg(_ context.Context, s pbnames.Client_SendMsgServer) (*pbnames.Note, error) {
	return exercise.Upload[*pbnames.Note](s)
}
func (pbClient) RecvMsg(_ context.Context, m *pbnames.Note, s pbnames.Client_RecvMsgServer) error {
	return exercise.Watch(m, s)
}
func (pbClient) CloseSend(_ context.Context, s pbnames.Client_CloseSendServer) (*pbnames.Note, error) {
	return exercise.Upload[*pbnames.Note](s)
}
func (pbClient) CloseAndRecv(_ context.Context, s pbnames.Client_CloseAndRecvServer) (*pbnames.Note, error) {
	return exercise.Upload[*pbnames.Note](s)
}
func (pbClient) ClientStream(_ context.Context, s pbnames.Client_ClientStreamServer) error {
	return exercise.Chat(s, exercise.Same[*pbnames.Note])
}
func (pbClient) StreamServer(_ context.Context, s pbnames.Client_StreamServerServer) error {
	return exercise.Chat(s, exercise.Same[*pbnames.Note])
}

type pbServer struct{}

func (pbServer) Register(_ context.Context, m *pbnames.Note) (*pbnames.Note, error) { return m, nil }
func (pbServer) RegisterService(_ context.Context, m *pbnames.Note) (*pbnames.Note, error) {
	return m, nil
}
func (pbServer) Serve(_ context.Context, s pbnames.Server_ServeServer) error {
	return exercise.Chat(s, exercise.Same[*pbnames.Note])
}

type pbTaken struct{}

func (pbTaken) Echo(_ context.Context, m *pbnames.TakenService) (*pbnames.TakenService, error) {
	return m, nil
}
func (pbTaken) Watch(_ context.Context, m *pbnames.TakenClient, s pbnames.Taken_WatchServer) error {
	return exercise.Watch(m, s)
}
func (pbTaken) Chat(_ context.Context, s pbnames.Taken_ChatServer_) error {
	return exercise.Chat(s, func(m *pbnames.Taken_ChatServer) *pbnames.Taken_ChatClient {
		return &pbnames.Taken_ChatClient{Text: m.Text}
	})
}

type pbImported struct{}

func (pbImported) Echo(_ context.Context, m *pbnames.ImportedService) (*pbnames.ImportedService, error) {
	return m, nil
}

type pbOuterIn struct{}

func (pbOuterIn) Echo(_ context.Context, m *pbnames.Outer) (*pbnames.Outer, error) { return m, nil }
func (pbOuterIn) Chat(_ context.Context, s pbnames.Outer_In_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*pbnames.Outer])
}

type pbFoo struct{}

func (pbFoo) Echo(_ context.Context, m *pbnames.Note) (*pbnames.Note, error) { return m, nil }
func (pbFoo) Chat(_ context.Context, s pbnames.Foo_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*pbnames.Note])
}

type pbNewFoo struct{}

func (pbNewFoo) Chat(_ context.Context, s pbnames.NewFoo_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*pbnames.Note])
}

type pbA struct{}

func (pbA) B_C(_ context.Context, s pbnames.A_B_CServer) error {
	return exercise.Chat(s, exercise.Same[*pbnames.Note])
}

type pbAB struct{}

func (pbAB) C(_ context.Context, s pbnames.A_B_CServer_) error {
	return exercise.Chat(s, exercise.Same[*pbnames.Note])
}

type pbTwoWords struct{}

func (pbTwoWords) GetIt(_ context.Context, m *pbnames.Note) (*pbnames.Note, error) { return m, nil }

type pbLower struct{}

func (pbLower) Chat(_ context.Context, s pbnames.Lower_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*pbnames.Note])
}

type pbImports struct{}

func (pbImports) Types(_ context.Context, m *pbone.Note) (*pbtwo.Note, error) {
	return &pbtwo.Note{Text: m.Text}, nil
}
func (pbImports) Context(_ context.Context, m *pbctx.Note) (*pbttrpc.Note, error) {
	return &pbttrpc.Note{Text: m.Text}, nil
}
func (pbImports) Variables(_ context.Context, m *pbreq.Note) (*pbclient.Note, error) {
	return &pbclient.Note{Text: m.Text}, nil
}
func (pbImports) IO(_ context.Context, m *pbio.Note) (*pbio.Note, error) { return m, nil }
func (pbImports) Watch(_ context.Context, m *pbreq.Note, s pbimports.Imports_WatchServer) error {
	return exercise.Watch(&pbstream.Note{Text: m.Text}, s)
}
func (pbImports) Upload(_ context.Context, s pbimports.Imports_UploadServer) (*pbreq.Note, error) {
	m, err := exercise.Upload[*pbstream.Note](s)
	if err != nil {
		return nil, err
	}
	return &pbreq.Note{Text: m.Text}, nil
}
func (pbImports) Chat(_ context.Context, s pbimports.Imports_ChatServer) error {
	return exercise.Chat(s, func(m *pbctx.Note) *pbttrpc.Note { return &pbttrpc.Note{Text: m.Text} })
}

type pbInterface struct{}

func (pbInterface) Func(_ context.Context, m *pbkeyword.String) (*pbkeyword.Error, error) {
	return &pbkeyword.Error{Error: m.String_}, nil
}
func (pbInterface) Range(_ context.Context, m *pbkeyword.String, s pbkeyword.Interface_RangeServer) error {
	return exercise.Watch(&pbkeyword.Error{Error: m.String_}, s)
}
func (pbInterface) Nil(_ context.Context, s pbkeyword.Interface_NilServer) (*pbkeyword.Error, error) {
	m, err := exercise.Upload[*pbkeyword.String](s)
	if err != nil {
		return nil, err
	}
	return &pbkeyword.Error{Error: m.String_}, nil
}
func (pbInterface) Go(_ context.Context, s pbkeyword.Interface_GoServer) error {
	return exercise.Chat(s, func(m *pbkeyword.String) *pbkeyword.Error { return &pbkeyword.Error{Error: m.String_} })
}

type pbWellKnown struct{}

func (pbWellKnown) Any(_ context.Context, m *anypb.Any) (*anypb.Any, error) { return m, nil }
func (pbWellKnown) Duration(_ context.Context, m *durationpb.Duration) (*timestamppb.Timestamp, error) {
	return &timestamppb.Timestamp{Seconds: m.Seconds}, nil
}
func (pbWellKnown) Struct(context.Context, *structpb.Struct) (*wrapperspb.StringValue, error) {
	return &wrapperspb.StringValue{}, nil
}
func (pbWellKnown) Empty(_ context.Context, m *emptypb.Empty) (*emptypb.Empty, error) { return m, nil }
func (pbWellKnown) WatchEmpty(_ context.Context, m *emptypb.Empty, s pbwellknown.WellKnown_WatchEmptyServer) error {
	return exercise.Watch(m, s)
}
func (pbWellKnown) UploadEmpty(_ context.Context, s pbwellknown.WellKnown_UploadEmptyServer) (*emptypb.Empty, error) {
	return exercise.Upload[*emptypb.Empty](s)
}
func (pbWellKnown) ChatEmpty(_ context.Context, s pbwellknown.WellKnown_ChatEmptyServer) error {
	return exercise.Chat(s, exercise.Same[*emptypb.Empty])
}

type pbSplit struct{}

func (pbSplit) Echo(_ context.Context, m *pbsplit.Note) (*pbsplit.SplitService, error) {
	return &pbsplit.SplitService{Text: m.Text}, nil
}
func (pbSplit) Chat(_ context.Context, s pbsplit.Split_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*pbsplit.Note])
}

type pbLegacy struct{}

func (pbLegacy) Echo(_ context.Context, m *pblegacy.Note) (*pblegacy.Note, error) { return m, nil }
func (pbLegacy) Watch(_ context.Context, m *pblegacy.Note, s pblegacy.Legacy_WatchServer) error {
	return exercise.Watch(m, s)
}

type pbOptional struct{}

func (pbOptional) Echo(_ context.Context, m *pboptional.Note) (*pboptional.Note, error) {
	return m, nil
}
func (pbOptional) Chat(_ context.Context, s pboptional.Optional_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*pboptional.Note])
}

type pbKeeper struct{}

func (pbKeeper) Echo(_ context.Context, m *pbpublicinner.KeeperService) (*pbpublicinner.KeeperService, error) {
	return m, nil
}

type pbPublicOuterIn struct{}

func (pbPublicOuterIn) Echo(_ context.Context, m *pbpublicinner.Outer) (*pbpublicinner.Outer, error) {
	return m, nil
}
func (pbPublicOuterIn) Chat(_ context.Context, s pbpublic.Outer_In_ChatServer) error {
	return exercise.Chat(s, exercise.Same[*pbpublicinner.Outer])
}

type pbShared struct{}

func (pbShared) Echo(_ context.Context, m *pbpublic.Same) (*pbpublic.Same, error) { return m, nil }

func TestProtobufGo(t *testing.T) {
	client := exercise.Connect(t, func(srv *ttrpc.Server) {
		pbbasic.RegisterNotesService(srv, pbNotes{})
		pbbasic.RegisterPlainService(srv, pbNotes{})
		pbbasic.RegisterRetiredService(srv, pbNotes{})
		pbbasic.RegisterEmptyService(srv, pbNotes{})
		pbnopackage.RegisterBareService(srv, pbBare{})
		pbnames.RegisterClientService(srv, pbClient{})
		pbnames.RegisterServerService(srv, pbServer{})
		pbnames.RegisterTakenService_(srv, pbTaken{})
		pbnames.RegisterImportedService(srv, pbImported{})
		pbnames.RegisterOuter_InService(srv, pbOuterIn{})
		pbnames.RegisterFooService(srv, pbFoo{})
		pbnames.RegisterRegisterFooService(srv, pbFoo{})
		pbnames.RegisterNewFooService(srv, pbNewFoo{})
		pbnames.RegisterAService(srv, pbA{})
		pbnames.RegisterA_BService(srv, pbAB{})
		pbnames.RegisterTwoWordsService(srv, pbTwoWords{})
		pbnames.RegisterLowerService(srv, pbLower{})
		pbimports.RegisterImportsService(srv, pbImports{})
		pbkeyword.RegisterInterfaceService(srv, pbInterface{})
		pbwellknown.RegisterWellKnownService(srv, pbWellKnown{})
		pbsplit.RegisterSplitService(srv, pbSplit{})
		pblegacy.RegisterLegacyService(srv, pbLegacy{})
		pboptional.RegisterOptionalService(srv, pbOptional{})
		pbpublic.RegisterKeeperService(srv, pbKeeper{})
		pbpublic.RegisterOuter_InService(srv, pbPublicOuterIn{})
		pbpublic.RegisterSharedService(srv, pbShared{})
		pbpublic.RegisterDeeperService(srv, pbKeeper{})
	})
	for name, c := range map[string]any{
		"Notes":           pbbasic.NewNotesClient(client),
		"Plain":           pbbasic.NewPlainClient(client),
		"Retired":         pbbasic.NewRetiredClient(client),
		"Empty":           pbbasic.NewEmptyClient(client),
		"Bare":            pbnopackage.NewBareClient(client),
		"Client":          pbnames.NewClientClient(client),
		"Server":          pbnames.NewServerClient(client),
		"Taken":           pbnames.NewTakenClient_(client),
		"Imported":        pbnames.NewImportedClient(client),
		"Outer_In":        pbnames.NewOuter_InClient(client),
		"Foo":             pbnames.NewFooClient(client),
		"RegisterFoo":     pbnames.NewRegisterFooClient(client),
		"NewFoo":          pbnames.NewNewFooClient(client),
		"A":               pbnames.NewAClient(client),
		"A_B":             pbnames.NewA_BClient(client),
		"TwoWords":        pbnames.NewTwoWordsClient(client),
		"lower":           pbnames.NewLowerClient(client),
		"Imports":         pbimports.NewImportsClient(client),
		"interface":       pbkeyword.NewInterfaceClient(client),
		"WellKnown":       pbwellknown.NewWellKnownClient(client),
		"Split":           pbsplit.NewSplitClient(client),
		"Legacy":          pblegacy.NewLegacyClient(client),
		"Optional":        pboptional.NewOptionalClient(client),
		"Keeper":          pbpublic.NewKeeperClient(client),
		"public Outer_In": pbpublic.NewOuter_InClient(client),
		"Shared":          pbpublic.NewSharedClient(client),
		"Deeper":          pbpublic.NewDeeperClient(client),
	} {
		t.Run(name, func(t *testing.T) { exercise.Client(t, c) })
	}
}

// The constants for methods are the names that interceptors are told: those on the
// wire, also where the Go name differs.
func TestFullMethodNames(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	var got string
	client := ttrpc.NewClient(here, ttrpc.WithUnaryClientInterceptor(
		func(_ context.Context, _ *ttrpc.Request, _ *ttrpc.Response, info *ttrpc.UnaryClientInfo, _ ttrpc.Invoker) error {
			got = info.FullMethod
			return nil
		}))
	defer client.Close()
	notes, note := pbbasic.NewNotesClient(client), &pbbasic.Note{}
	if _, err := notes.Echo(context.Background(), note); err != nil || got != pbbasic.Notes_Echo_FullMethodName {
		t.Errorf("Echo: the interceptor is told %q, want %q; error %v", got, pbbasic.Notes_Echo_FullMethodName, err)
	}
	if _, err := notes.Lowercase(context.Background(), note); err != nil || got != pbbasic.Notes_Lowercase_FullMethodName {
		t.Errorf("lowercase: the interceptor is told %q, want %q; error %v", got, pbbasic.Notes_Lowercase_FullMethodName, err)
	}
}
