// SPDX-License-Identifier: MIT
// Counts in its own memory and in memory that it shares with a process of its own, which counts as well and holds a file lock.
// SERVER_DIR is where its files are, and the argument is the port.
package main

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func path(name string) string {
	return filepath.Join(os.Getenv("SERVER_DIR"), name)
}

// sharedCount is in a file of /dev/shm that both processes have mapped.
func sharedCount(name string) *int64 {
	file := must(os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600))
	if err := file.Truncate(4096); err != nil {
		panic(err)
	}
	memory := must(syscall.Mmap(int(file.Fd()), 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED))
	return (*int64)(unsafe.Pointer(&memory[0]))
}

func isLocked() bool {
	file := must(os.OpenFile(path("lock"), os.O_RDWR, 0))
	defer file.Close()
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == syscall.EWOULDBLOCK
}

// other adds each number that it reads, here and in the shared memory, and answers with its own count.
func other(shared *int64) {
	lock := must(os.OpenFile(path("lock"), os.O_RDWR|os.O_CREATE, 0o600))
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		panic(err)
	}
	var count, number int64
	for {
		if _, err := fmt.Scanln(&number); err != nil {
			return
		}
		count += number
		atomic.AddInt64(shared, number)
		fmt.Println(count)
	}
}

type server struct {
	sync.Mutex
	start  string
	count  int64
	ticks  atomic.Int64
	shared *int64
	ask    func(number int64) int64
}

func (s *server) add(number int64) any {
	s.Lock()
	defer s.Unlock()
	s.count += number
	s.ask(number)
	return map[string]any{"count": s.count}
}

func (s *server) check() any {
	s.Lock()
	defer s.Unlock()
	before := s.ticks.Load()
	time.Sleep(50 * time.Millisecond)
	fmt.Println("checked")
	return map[string]any{
		"start": s.start, "count": s.count, "fileLock": isLocked(), "timers": s.ticks.Load() > before,
		"agrees": s.count == atomic.LoadInt64(s.shared) && s.count == s.ask(0),
	}
}

func main() {
	if len(os.Args) > 2 {
		other(sharedCount(os.Args[2]))
		return
	}
	start := make([]byte, 8)
	rand.Read(start)
	name := fmt.Sprintf("/dev/shm/go-state-%x", start)
	s := &server{start: fmt.Sprintf("%x", start), shared: sharedCount(name)}
	child := exec.Command(os.Args[0], "other", name)
	child.Stderr = os.Stderr
	in, out := must(child.StdinPipe()), bufio.NewReader(must(child.StdoutPipe()))
	if err := child.Start(); err != nil {
		panic(err)
	}
	s.ask = func(number int64) (count int64) {
		fmt.Fprintln(in, number)
		must(fmt.Fscanln(out, &count))
		return
	}
	go func() {
		for range time.Tick(5 * time.Millisecond) {
			s.ticks.Add(1)
		}
	}()
	answers := map[string]func() any{
		"/": func() any { return s.add(1) }, "/jump": func() any { return s.add(1000000) }, "/check": s.check,
	}
	for path, answer := range answers {
		http.HandleFunc(path, func(response http.ResponseWriter, request *http.Request) {
			response.Write(must(json.Marshal(answer())))
		})
	}
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
