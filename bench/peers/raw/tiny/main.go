// Command tiny is the smallest server on a unix socket, with one method. Its
// stripped size and its memory at start-up are measured.
package main

import (
	"io"
	"log"
	"net"
	"os"
)

func main() {
	log.SetFlags(0)
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			io.Copy(c, c)
			c.Close()
		}()
	}
}
