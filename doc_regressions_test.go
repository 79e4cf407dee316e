package ttrpc

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Defects of released versions, which must never come back. Each has a test
// that fails when its guard is removed.
//
// Fixed in some release:
//
//	 1  full method name "//svc/M"                  TestInterceptorOrder
//	 2  absent status, or code 0, is an error       TestSuccessWithoutStatus
//	 3  kinds of close that were not ErrClosed      TestConnectionErrorsAreErrClosed, TestWriteErrorIsErrClosed
//	 4  nil response crashes the server             TestUnusableResponse
//	 5  closed connections stay in the table        TestRaceClosedConns
//	 6  OnClose races its caller                    TestRaceOnClose
//	 7  NotFound instead of Unimplemented           TestUnimplemented
//	 8  deadlock when both directions are full      TestRaceFullBothWays, TestReaderNeverBlocksInWrite, TestServerRepliesUnread
//	 9  accepted without credentials                TestFailingPeercredRefuses
//	10  server's streams stay in the table          TestRaceTables
//	11  connection leaks on reset and wrapped EOF   TestResetIsClosed, TestCloseInMidFrame
//	12  Shutdown kills calls, races connections     TestShutdown, TestRaceShutdown
//	13  send on a closed channel                    TestRaceCloseDuringFlood
//	14  response lost that comes with the close     TestRaceReplyThenClose
//	15  Canceled instead of ErrClosed               TestRaceCloseIsErrClosed
//	16  empty request of a server stream hangs      TestEmptyRequestOfServerStream
//	17  generators: optional, empty files           cmd/protoc-gen-go-ttrpc, internal/gentest
//	18  deadlock of two locks; ids out of order     TestRaceIDsRise, TestIDWithRequest
//	19  oversized request is sent, and dropped      TestOversizedRequest
//	20  Serve after Shutdown blocks                 TestServeAfterEnd
//	21  concurrent write of shared metadata         TestRaceSharedMetadata
//	22  data on an unknown stream is a panic        TestDataOnUnknownStream
//	23  context outlives the stream's handler       TestHandlerContext
//	24  an unread stream blocks its connection      TestUnreadStream, TestServerSlowConsumers, TestClientSlowConsumer
//
// Open in all of them:
//
//	 1  cancelled streams stay in the table         TestCancelledLeavesTable
//	 2  sending ignores the context                 TestContextEndsSending
//	 3  Shutdown and Close miscount                 TestShutdown, TestShutdownAfterRejects, TestCloseEndsBusyConn
//	 4  data on a unary call, panics                TestDataOnUnaryCall, TestHandlerPanic
//	 5  oversized messages end or leak              TestOversizedResponse, TestOversizedRequest, TestOversizedRequestTable, TestMessageLengthLimit
//	 6  odd read errors leave a zombie              TestConnectionErrorsAreErrClosed
//	 7  calls wait behind unread streams            TestUnreadStream, TestServerSlowConsumers, TestClientSlowConsumer
//	 8  entries stored after their end              TestRaceTables, TestStreamErrorsLeaveTable
//	 9  streams without metadata and deadline       TestMetadataOfCalls, TestDeadlineOfCalls, TestStreamInterceptors, TestRaceSendAgainstCloseSend
//	10  a slow handshake blocks others              TestSlowHandshakeBlocksNoOther
//	11  lengths that do not fit an int              TestHugeLengths

// The tests that the tables above name are there.
func TestRegressionTests(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, name := range files {
		tests.WriteString(readFile(t, name))
	}
	tables, _, _ := strings.Cut(readFile(t, "doc_regressions_test.go"), "\nfunc ")
	names := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(tables, -1)
	if len(names) == 0 {
		t.Fatal("the tables name no test: does this test still find them?")
	}
	for _, name := range names {
		if !strings.Contains(tests.String(), "\nfunc "+name+"(") {
			t.Errorf("a table names %s, which there is not", name)
		}
	}
}
