// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	modal "github.com/modal-labs/modal-client/go"
)

func (r *run) class(name string) *modal.Cls {
	return must(r.Cls.FromName(r, app, name, nil))
}

func init() {
	programs["classes.plain"] = func(r *run) {
		instance := must(r.class("Plain").Instance(r, nil))
		bump := must(instance.Method("bump"))
		first := r.remote(bump).(uint64)
		equal(must(bump.Remote(r, nil, map[string]any{"by": 4})), first+4)
		equal(must(must(bump.Spawn(r, []any{5}, nil)).Get(r, nil)), first+9)
		_, err := must(instance.Method("fail")).Remote(r, nil, nil)
		says(isA[modal.RemoteError](err), "a method's own error")
	}

	programs["classes.parameters"] = func(r *run) {
		class := r.class("Greeter")
		greet := must(must(class.Instance(r, nil)).Method("greet"))
		equal(r.remote(greet, "you"), "hello you")
		twice := must(class.Instance(r, map[string]any{"greeting": "hi", "times": 2, "loud": true}))
		again := must(twice.Method("greet"))
		answer := must(again.Remote(r, []any{"you"}, map[string]any{"end": "!"}))
		equal(answer, "HI YOU HI YOU!")
		_, err := class.Instance(r, map[string]any{"times": "two"})
		says(err, "times")
	}

	programs["classes.not_found"] = func(r *run) {
		_, err := r.Cls.FromName(r, app, "Nothing", nil)
		isA[modal.NotFoundError](err)
		_, err = must(r.class("Plain").Instance(r, nil)).Method("nothing")
		isA[modal.NotFoundError](err)
	}

	programs["classes.options"] = func(r *run) {
		class := r.class("Greeter")
		parameters := map[string]any{"greeting": "hey"}
		changed := must(class.WithOptions(&modal.ClsWithOptionsParams{
			Env: map[string]string{"FLAVOUR": "sweet"}, Timeout: pointer(time.Minute),
		}).WithConcurrency(&modal.ClsWithConcurrencyParams{MaxInputs: 2}).Instance(r, parameters))
		equal(r.remote(must(changed.Method("setting")), "FLAVOUR"), "sweet")
		equal(r.remote(must(changed.Method("greet")), "you"), "hey you")
		plain := must(class.Instance(r, parameters))
		equal(r.remote(must(plain.Method("setting")), "FLAVOUR"), nil)
	}
}
