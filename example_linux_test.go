package ttrpc_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/inventory"
)

// The server admits only processes of its own user, and knows the process of each call.
func ExamplePeerFromContext() {
	socket, stop := serveShelf(
		ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser()),
		ttrpc.WithUnaryServerInterceptor(func(ctx context.Context, unmarshal ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
			if peer, ok := ttrpc.PeerFromContext(ctx); ok {
				cred := peer.(*unix.Ucred)
				fmt.Println("called by this very process:", int(cred.Pid) == os.Getpid())
			}
			return method(ctx, unmarshal)
		}))
	defer stop()
	client := dialShelf(socket)
	defer client.Close()

	if _, err := inventory.NewInventoryClient(client).GetItem(context.Background(), &inventory.GetItemRequest{Name: "bolt"}); err != nil {
		log.Fatal(err)
	}
	// Output: called by this very process: true
}
