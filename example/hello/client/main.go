// Command client calls the server behind the unix socket hello.sock.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/hello"
)

func main() {
	conn, err := net.Dial("unix", "hello.sock")
	if err != nil {
		log.Fatal(err)
	}
	client := ttrpc.NewClient(conn)
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	response, err := hello.NewGreeterClient(client).Greet(ctx, &hello.GreetRequest{Name: "world"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(response.Text)
}
