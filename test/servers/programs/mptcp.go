// SPDX-License-Identifier: MIT
// Answers with how often it was asked, and a random number of its start. Go listens with MPTCP unless GODEBUG says no.
package main

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"net"
)

func main() {
	start := make([]byte, 8)
	rand.Read(start)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("running on http://%s\n", listener.Addr())
	for count := 1; ; count++ {
		connection, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		request := bufio.NewReader(connection)
		for line := ""; line != "\r\n"; {
			if line, err = request.ReadString('\n'); err != nil {
				break
			}
		}
		body := fmt.Sprintf(`{"count":%d,"state":"%x"}`, count, start)
		fmt.Fprintf(connection, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		connection.Close()
	}
}
