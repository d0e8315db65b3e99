// SPDX-License-Identifier: Apache-2.0

// Programs that use the Go client, each a function that asserts what it sees:
// program FILE.NAME FACTS runs one with a client of the environment's settings and what the test
// says in JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	modal "github.com/modal-labs/modal-client/go"
)

type run struct {
	context.Context
	*modal.Client
	facts map[string]string
}

var programs = map[string]func(*run){}

// The first failure ends the program; where it was is in the trace.
func fail(format string, arguments ...any) {
	panic(fmt.Sprintf(format, arguments...))
}

func ok(err error) {
	if err != nil {
		fail("%T: %v", err, err)
	}
}

func must[T any](value T, err error) T {
	ok(err)
	return value
}

func equal(seen, wanted any) {
	if !reflect.DeepEqual(seen, wanted) {
		fail("%T %#v, not %T %#v", seen, seen, wanted, wanted)
	}
}

// isA is for errors: one of that type, whatever wraps it.
func isA[E error](err error) E {
	var wanted E
	if !errors.As(err, &wanted) {
		fail("%T (%v), not %T", err, err, wanted)
	}
	return wanted
}

func says(err error, words string) {
	if err == nil || !strings.Contains(err.Error(), words) {
		fail("%v, which does not say %q", err, words)
	}
}

func until(what string, condition func() bool) {
	for tries := 0; tries < 600; tries++ {
		if condition() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	fail("still not: %s", what)
}

func pointer[T any](value T) *T { return &value }

func unique(prefix string) string { return fmt.Sprintf("%s-%d", prefix, os.Getpid()) }

func main() {
	program, known := programs[os.Args[1]]
	if !known {
		fail("no program %s", os.Args[1])
	}
	r := &run{Context: context.Background()}
	ok(json.Unmarshal([]byte(os.Args[2]), &r.facts))
	r.Client = must(modal.NewClient())
	defer r.Client.Close()
	program(r)
}
