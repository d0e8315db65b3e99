// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	modal "github.com/modal-labs/modal-client/go"
	pb "github.com/modal-labs/modal-client/go/proto/modal_proto"
)

const app = "e2e-languages"

func (r *run) function(name string) *modal.Function {
	return must(r.Functions.FromName(r, app, name, nil))
}

func (r *run) remote(function *modal.Function, arguments ...any) any {
	return must(function.Remote(r, arguments, nil))
}

func init() {
	programs["calls.values"] = func(r *run) {
		given := []any{
			uint64(0), int64(-7), uint64(1) << 60, 1.5, "ä→🙂", "", true, nil,
			[]any{uint64(1), []any{uint64(2), []any{}}},
			map[any]any{"a": map[any]any{"b": []any{uint64(1)}}},
			[]byte{0, 255, 10},
		}
		words := map[string]any{"word": "x", "list": []any{uint64(1), uint64(2)}}
		answer := must(r.function("echo").Remote(r, given, words)).(map[any]any)
		equal(answer["args"], given)
		equal(answer["kwargs"], map[any]any{"word": "x", "list": words["list"]})
		empty := must(r.function("echo").Remote(r, nil, nil))
		equal(empty, map[any]any{"args": []any{}, "kwargs": map[any]any{}})
	}

	programs["calls.keywords"] = func(r *run) {
		add := r.function("add")
		equal(r.remote(add, 1), uint64(11))
		equal(must(add.Remote(r, []any{1}, map[string]any{"right": 2})), uint64(3))
		equal(must(add.Remote(r, nil, map[string]any{"left": 4, "right": 5})), uint64(9))
		_, err := add.Remote(r, nil, map[string]any{"wrong": 1})
		says(isA[modal.RemoteError](err), "wrong")
	}

	programs["calls.dates"] = func(r *run) {
		text := r.remote(r.function("describe"), time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC))
		if !strings.HasPrefix(text.(string), "datetime datetime.datetime(2026, 2, 3, 4, 5, 6") {
			fail("%v", text)
		}
	}

	programs["calls.exceptions"] = func(r *run) {
		_, err := r.function("fail").Remote(r, []any{7}, nil)
		says(isA[modal.RemoteError](err), "there is no number 7")
	}

	programs["calls.time_limit"] = func(r *run) {
		_, err := r.function("too_long").Remote(r, nil, nil)
		isA[modal.FunctionTimeoutError](err)
		_, err = must(r.function("too_long").Spawn(r, nil, nil)).Get(r, nil)
		isA[modal.FunctionTimeoutError](err)
	}

	programs["calls.deaths"] = func(r *run) {
		_, err := r.function("die").Remote(r, nil, nil)
		says(isA[modal.RemoteError](err), "container")
	}

	programs["calls.spawned"] = func(r *run) {
		slow := r.function("slow")
		call := must(slow.Spawn(r, []any{2}, map[string]any{"answer": "later"}))
		for _, wait := range []time.Duration{0, 50 * time.Millisecond} {
			_, err := call.Get(r, &modal.FunctionCallGetParams{Timeout: &wait})
			isA[modal.TimeoutError](err)
		}
		equal(must(call.Get(r, nil)), "later")
		equal(must(call.Get(r, &modal.FunctionCallGetParams{Timeout: new(time.Duration)})), "later")
		found := must(r.FunctionCalls.FromID(r, call.FunctionCallID, nil))
		equal(must(found.Get(r, nil)), "later")
		fmt.Println(call.FunctionCallID)
	}

	programs["calls.found"] = func(r *run) {
		// What a client of Python has spawned answers in a format that only Python reads.
		_, err := must(r.FunctionCalls.FromID(r, r.facts["call"], nil)).Get(r, nil)
		says(err, "PICKLE")
	}

	programs["calls.cancelled"] = func(r *run) {
		slow := r.function("slow")
		call := must(slow.Spawn(r, []any{1000}, nil))
		_, err := call.Get(r, &modal.FunctionCallGetParams{Timeout: pointer(500 * time.Millisecond)})
		isA[modal.TimeoutError](err)
		ok(call.Cancel(r, nil))
		_, err = call.Get(r, nil)
		says(isA[modal.RemoteError](err), "cancel")
		other := must(slow.Spawn(r, []any{1000}, nil))
		ok(other.Cancel(r, &modal.FunctionCallCancelParams{TerminateContainers: true}))
		_, err = other.Get(r, nil)
		isA[modal.RemoteError](err)
		equal(r.remote(slow, 0), "done")
	}

	programs["calls.large"] = func(r *run) {
		digest := r.function("digest")
		for _, size := range []int{9_000, 300_000, 3_000_000} {
			data := bytes.Repeat([]byte{byte(size % 251)}, size)
			sum := sha256.Sum256(data)
			wanted := []any{uint64(size), hex.EncodeToString(sum[:])}
			equal(r.remote(digest, data), wanted)
			equal(must(must(digest.Spawn(r, []any{data}, nil)).Get(r, nil)), wanted)
		}
		made := r.remote(r.function("make"), 5_000_000).([]byte)
		if !bytes.Equal(made, bytes.Repeat([]byte("x"), 5_000_000)) {
			fail("%d bytes came", len(made))
		}
	}

	programs["calls.generator"] = func(r *run) {
		done := r.remote(r.function("count"), 3).(*pb.GeneratorDone)
		equal(done.GetItemsTotal(), uint64(3))
	}

	programs["calls.not_found"] = func(r *run) {
		_, err := r.Functions.FromName(r, app, "nothing", nil)
		isA[modal.NotFoundError](err)
		_, err = r.Functions.FromName(r, "no-such-app", "add", nil)
		isA[modal.NotFoundError](err)
		_, err = r.Functions.FromID(r, "fu-"+strings.Repeat("a", 22))
		isA[modal.NotFoundError](err)
		_, err = r.FunctionCalls.FromID(r, "fc-"+strings.Repeat("a", 26), nil)
		says(err, "NotFound")
	}

	programs["calls.page"] = func(r *run) {
		page := r.function("page")
		_, err := page.Remote(r, nil, nil)
		says(isA[modal.InvalidError](err), page.GetWebURL())
		_, err = page.Spawn(r, nil, nil)
		says(isA[modal.InvalidError](err), page.GetWebURL())
		equal(r.function("add").GetWebURL(), "")
		fmt.Println(page.GetWebURL())
	}

	programs["calls.scaling"] = func(r *run) {
		add := r.function("add")
		equal(must(add.GetCurrentStats(r, nil)).Backlog, 0)
		settings := must(add.UpdateAutoscaler(r, &modal.FunctionUpdateAutoscalerParams{
			MaxContainers: pointer(uint32(3)), ScaledownWindow: pointer(30 * time.Second),
		}))
		equal(settings.MaxContainers, pointer(uint32(3)))
		equal(settings.ScaledownWindow, pointer(30*time.Second))
		more := must(add.UpdateAutoscaler(r, &modal.FunctionUpdateAutoscalerParams{
			BufferContainers: pointer(uint32(0)),
		}))
		equal(more.MaxContainers, pointer(uint32(3)))
		equal(more.BufferContainers, pointer(uint32(0)))
		_, err := add.UpdateAutoscaler(r, &modal.FunctionUpdateAutoscalerParams{
			MinContainers: pointer(uint32(9)), MaxContainers: pointer(uint32(3)),
		})
		says(err, "InvalidArgument")
	}

	programs["calls.options"] = func(r *run) {
		setting := r.function("setting")
		equal(r.remote(setting, "FLAVOUR"), nil)
		sweet := must(setting.WithOptions(&modal.FunctionWithOptionsParams{
			Env: map[string]string{"FLAVOUR": "sweet"}, Timeout: pointer(time.Minute),
			MemoryMiB: pointer(256),
		}).Instance(r))
		if sweet.FunctionID == setting.FunctionID {
			fail("no variant was made")
		}
		equal(r.remote(sweet, "FLAVOUR"), "sweet")
		secret := must(r.Secrets.FromMap(r, map[string]string{"FLAVOUR": "sour"}, nil))
		sour := must(setting.WithOptions(&modal.FunctionWithOptionsParams{
			Secrets: []*modal.Secret{secret},
		}).WithConcurrency(&modal.FunctionWithConcurrencyParams{MaxInputs: 4}).Instance(r))
		equal(r.remote(sour, "FLAVOUR"), "sour")
		equal(r.remote(setting, "FLAVOUR"), nil)
	}

	programs["calls.by_id"] = func(r *run) {
		add := must(r.Functions.FromID(r, r.facts["function"]))
		equal(r.remote(add, 1, 2), uint64(3))
	}

	programs["calls.many"] = func(r *run) {
		add := r.function("add")
		var group sync.WaitGroup
		answers := make([]any, 60)
		failures := make([]error, 60)
		for number := range answers {
			group.Go(func() {
				answers[number], failures[number] = add.Remote(r, []any{number, 1}, nil)
			})
		}
		group.Wait()
		for number, answer := range answers {
			ok(failures[number])
			equal(answer, uint64(number+1))
		}
	}

	programs["calls.logs"] = func(r *run) {
		failing := r.function("fail")
		_, err := failing.Remote(r, []any{os.Getpid()}, nil)
		isA[modal.RemoteError](err)
		wanted := fmt.Sprintf("about to fail with %d", os.Getpid())
		until("the function's log has "+wanted, func() bool {
			var text strings.Builder
			for entry, err := range must(failing.Logs.Tail(r, nil)) {
				ok(err)
				text.WriteString(entry.Message)
			}
			return strings.Contains(text.String(), wanted)
		})
	}
}
