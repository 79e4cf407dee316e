package ttrpc_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// Ping tells a server that is stuck from one that is busy. Servers that do not know
// pings are taken for healthy.
func ExampleClient_Ping() {
	path, stop := serveShelf()
	defer stop()
	for _, extensions := range []bool{true, false} {
		client := dialShelf(path, ttrpc.WithClientExtensions(extensions))
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		switch err := client.Ping(ctx); {
		case err == nil:
			fmt.Println("the server lives")
		case status.Code(err) == codes.Unimplemented:
			fmt.Println("the server cannot say")
		default:
			log.Fatal(err)
		}
		cancel()
		client.Close()
	}
	// Output:
	// the server lives
	// the server cannot say
}
