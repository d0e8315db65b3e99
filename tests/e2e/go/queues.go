// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	modal "github.com/modal-labs/modal-client/go"
)

func of(partition string) *modal.QueueGetParams {
	return &modal.QueueGetParams{Partition: partition}
}

func within(wait time.Duration) *modal.QueueGetParams {
	return &modal.QueueGetParams{Timeout: &wait}
}

func init() {
	programs["queues.order"] = func(r *run) {
		queue := must(r.Queues.Ephemeral(r, nil))
		defer queue.CloseEphemeral()
		equal(must(queue.Len(r, nil)), 0)
		ok(queue.Put(r, 1, nil))
		ok(queue.PutMany(r, []any{"two", []any{3, 4.5}, map[string]any{"five": nil}, true}, nil))
		equal(must(queue.Len(r, nil)), 5)
		equal(must(queue.Get(r, nil)), int64(1))
		equal(must(queue.GetMany(r, 2, nil)), []any{"two", []any{int64(3), 4.5}})
		rest := must(queue.GetMany(r, 9, nil))
		equal(len(rest), 2)
		equal(rest[1], true)
		equal(must(queue.Len(r, nil)), 0)
	}

	programs["queues.partitions"] = func(r *run) {
		queue := must(r.Queues.Ephemeral(r, nil))
		defer queue.CloseEphemeral()
		length := func(params *modal.QueueLenParams) int { return must(queue.Len(r, params)) }
		total := &modal.QueueLenParams{Total: true}
		ok(queue.Put(r, "of none", nil))
		ok(queue.Put(r, "of a", &modal.QueuePutParams{Partition: "a", PartitionTTL: time.Minute}))
		ok(queue.PutMany(r, []any{1, 2, 3}, &modal.QueuePutManyParams{
			QueuePutParams: modal.QueuePutParams{Partition: "b"},
		}))
		equal(length(nil), 1)
		equal(length(&modal.QueueLenParams{Partition: "b"}), 3)
		equal(length(total), 5)
		equal(must(queue.Get(r, of("a"))), "of a")
		ok(queue.Clear(r, &modal.QueueClearParams{Partition: "b"}))
		equal(length(total), 1)
		ok(queue.Put(r, "again", &modal.QueuePutParams{Partition: "b"}))
		ok(queue.Clear(r, &modal.QueueClearParams{All: true}))
		equal(length(total), 0)
	}

	programs["queues.iterate"] = func(r *run) {
		queue := must(r.Queues.Ephemeral(r, nil))
		defer queue.CloseEphemeral()
		put := &modal.QueuePutParams{Partition: "p"}
		for number := 1; number <= 3; number++ {
			ok(queue.Put(r, number, put))
		}
		var seen []any
		for item, err := range queue.Iterate(r, &modal.QueueIterateParams{Partition: "p"}) {
			ok(err)
			seen = append(seen, item)
		}
		equal(seen, []any{int64(1), int64(2), int64(3)})
		equal(must(queue.Len(r, &modal.QueueLenParams{Partition: "p"})), 3)
		// One that waits sees what is put meanwhile.
		seen = nil
		for item, err := range queue.Iterate(r, &modal.QueueIterateParams{
			Partition: "p", ItemPollTimeout: 3 * time.Second,
		}) {
			ok(err)
			seen = append(seen, item)
			if item == int64(3) {
				ok(queue.Put(r, 4, put))
			}
			if item == int64(4) {
				break
			}
		}
		equal(seen, []any{int64(1), int64(2), int64(3), int64(4)})
	}

	programs["queues.waiting"] = func(r *run) {
		queue := must(r.Queues.Ephemeral(r, nil))
		defer queue.CloseEphemeral()
		_, err := queue.Get(r, within(0))
		isA[modal.QueueEmptyError](err)
		_, err = queue.GetMany(r, 3, &modal.QueueGetManyParams{
			QueueGetParams: *within(200 * time.Millisecond),
		})
		isA[modal.QueueEmptyError](err)
		came := make(chan any)
		go func() { came <- must(queue.Get(r, within(time.Minute))) }()
		ok(queue.Put(r, "came", nil))
		equal(<-came, "came")
	}

	programs["queues.full"] = func(r *run) {
		queue := must(r.Queues.Ephemeral(r, nil))
		defer queue.CloseEphemeral()
		thousand := make([]any, 1000)
		for number := range thousand {
			thousand[number] = number
		}
		for range 5 {
			ok(queue.PutMany(r, thousand, nil))
		}
		err := queue.Put(r, "one more", &modal.QueuePutParams{
			Timeout: pointer(200 * time.Millisecond),
		})
		isA[modal.QueueFullError](err)
		equal(must(queue.Get(r, nil)), int64(0))
		ok(queue.Put(r, "one more", &modal.QueuePutParams{Timeout: pointer(time.Minute)}))
		equal(must(queue.Len(r, nil)), 5000)
	}

	programs["queues.names"] = func(r *run) {
		name := unique("of-go")
		_, err := r.Queues.FromName(r, name, nil)
		isA[modal.NotFoundError](err)
		made := must(r.Queues.FromName(r, name, &modal.QueueFromNameParams{CreateIfMissing: true}))
		ok(made.Put(r, "kept", nil))
		found := must(r.Queues.FromName(r, name, nil))
		equal(found.QueueID, made.QueueID)
		equal(must(found.Get(r, nil)), "kept")
		ok(r.Queues.Delete(r, name, nil))
		_, err = r.Queues.FromName(r, name, nil)
		isA[modal.NotFoundError](err)
		isA[modal.NotFoundError](r.Queues.Delete(r, name, nil))
		ok(r.Queues.Delete(r, name, &modal.QueueDeleteParams{AllowMissing: true}))
	}

	programs["queues.of_python"] = func(r *run) {
		queue := must(r.Queues.FromName(r, r.facts["queue"], nil))
		var seen []any
		for len(seen) < 5 {
			seen = append(seen, must(queue.GetMany(r, 5, nil))...)
		}
		equal(seen[:3], []any{int64(1), "zwei", []any{int64(3), 4.5}})
		equal(seen[4], true)
		answer := []any{-6, "sieben", []any{8.5, false}, map[string]any{"nine": nil}}
		ok(queue.PutMany(r, answer, nil))
	}
}
