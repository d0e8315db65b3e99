// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	modal "github.com/modal-labs/modal-client/go"
)

func (r *run) tryCreate(params modal.SandboxCreateParams) (*modal.Sandbox, error) {
	if len(params.Command) == 0 {
		params.Command = []string{"sleep", "100000"}
	}
	return r.Sandboxes.Create(r, r.app(), r.Images.FromRegistry(base, nil), &params)
}

func (r *run) create(params modal.SandboxCreateParams) *modal.Sandbox {
	return must(r.tryCreate(params))
}

func (r *run) end(sandbox *modal.Sandbox) { must(sandbox.Terminate(r, nil)) }

func shell(command string) []string { return []string{"sh", "-c", command} }

func (r *run) exec(sandbox *modal.Sandbox, command []string,
	params *modal.SandboxExecParams) *modal.ContainerProcess {
	return must(sandbox.Exec(r, command, params))
}

func write(stdin io.WriteCloser, text string) { must(io.WriteString(stdin, text)) }

func init() {
	programs["sandboxes.output"] = func(r *run) {
		sandbox := r.create(modal.SandboxCreateParams{
			Command: shell("echo to out; echo to err >&2; exit 7"),
		})
		equal(readAll(sandbox.Stdout), "to out\n")
		equal(readAll(sandbox.Stderr), "to err\n")
		equal(must(sandbox.Wait(r, nil)), 7)
		equal(must(sandbox.Poll(r, nil)), pointer(7))
		// Who comes later reads the same.
		again := must(r.Sandboxes.FromID(r, sandbox.SandboxID, nil))
		equal(readAll(again.Stdout), "to out\n")
	}

	programs["sandboxes.input"] = func(r *run) {
		sandbox := r.create(modal.SandboxCreateParams{Command: []string{"cat"}})
		write(sandbox.Stdin, "first ä\n")
		write(sandbox.Stdin, "second\n")
		ok(sandbox.Stdin.Close())
		equal(readAll(sandbox.Stdout), "first ä\nsecond\n")
		equal(must(sandbox.Wait(r, nil)), 0)
	}

	programs["sandboxes.processes"] = func(r *run) {
		sandbox := r.create(modal.SandboxCreateParams{})
		defer r.end(sandbox)
		both := r.exec(sandbox, shell("echo out; echo err >&2; exit 3"), nil)
		equal(readAll(both.Stdout), "out\n")
		equal(readAll(both.Stderr), "err\n")
		equal(must(both.Wait(r, nil)), 3)
		raw := r.exec(sandbox, []string{"printf", `\377\000x`}, nil)
		equal(readAll(raw.Stdout), "\xff\x00x")
		reader := r.exec(sandbox, shell("read a; echo got $a; cat"), nil)
		write(reader.Stdin, "one\n")
		write(reader.Stdin, "rest")
		ok(reader.Stdin.Close())
		equal(readAll(reader.Stdout), "got one\nrest")
		secret := must(r.Secrets.FromMap(r, map[string]string{"B": "2"}, nil))
		settled := r.exec(sandbox, shell("echo $PWD $A $B"), &modal.SandboxExecParams{
			Workdir: "/tmp", Env: map[string]string{"A": "1"}, Secrets: []*modal.Secret{secret},
		})
		equal(readAll(settled.Stdout), "/tmp 1 2\n")
		killed := r.exec(sandbox, shell("kill -TERM $$"), nil)
		equal(must(killed.Wait(r, nil)), 128+15)
		silent := r.exec(sandbox, shell("echo x; exit 4"), &modal.SandboxExecParams{
			Stdout: modal.Ignore,
		})
		equal(must(silent.Wait(r, nil)), 4)
		terminal := r.exec(sandbox, shell("test -t 1 && stty size"), &modal.SandboxExecParams{
			PTY: true,
		})
		matches(readAll(terminal.Stdout), "24 80")
		large := r.exec(sandbox, []string{"head", "-c", "5000000", "/dev/zero"}, nil)
		equal(len(readAll(large.Stdout)), 5_000_000)
		var group sync.WaitGroup
		answers := make([]string, 20)
		for number := range answers {
			group.Go(func() {
				one := r.exec(sandbox, shell(fmt.Sprintf("echo %d; exit %d", number, number)), nil)
				answers[number] = readAll(one.Stdout) + fmt.Sprint(must(one.Wait(r, nil)))
			})
		}
		group.Wait()
		for number, answer := range answers {
			equal(answer, fmt.Sprintf("%d\n%d", number, number))
		}
	}

	programs["sandboxes.process_limit"] = func(r *run) {
		sandbox := r.create(modal.SandboxCreateParams{})
		defer r.end(sandbox)
		process := r.exec(sandbox, []string{"sleep", "1000"}, &modal.SandboxExecParams{
			Timeout: time.Second,
		})
		if code, err := process.Wait(r, nil); err == nil && code == 0 {
			fail("it ended well")
		} else if err != nil {
			isA[modal.ExecTimeoutError](err)
		}
		until("the process is killed", func() bool {
			look := r.exec(sandbox, shell(`cat /proc/[0-9]*/cmdline | tr '\0' ' '`), nil)
			return !strings.Contains(readAll(look.Stdout), "sleep 1000 ")
		})
	}

	programs["sandboxes.time_limit"] = func(r *run) {
		sandbox := r.create(modal.SandboxCreateParams{Timeout: time.Second})
		equal(must(sandbox.Wait(r, nil)), 124)
	}

	programs["sandboxes.terminated"] = func(r *run) {
		sandbox := r.create(modal.SandboxCreateParams{})
		equal(must(sandbox.Poll(r, nil)), (*int)(nil))
		equal(must(sandbox.Terminate(r, &modal.SandboxTerminateParams{Wait: true})), 137)
		again := must(r.Sandboxes.FromID(r, sandbox.SandboxID, nil))
		equal(must(again.Poll(r, nil)), pointer(137))
		r.end(again)
		if _, err := again.Exec(r, []string{"true"}, nil); err == nil {
			fail("a process was started in a sandbox that has ended")
		}
	}

	programs["sandboxes.names"] = func(r *run) {
		app := r.app()
		name, of := unique("named"), unique("go")
		tags := map[string]string{"of": of, "n": "1"}
		sandbox := r.create(modal.SandboxCreateParams{Name: name, Tags: tags})
		defer r.end(sandbox)
		_, err := r.tryCreate(modal.SandboxCreateParams{Name: name})
		isA[modal.AlreadyExistsError](err)
		found := must(r.Sandboxes.FromName(r, "of-go", name, nil))
		equal(found.SandboxID, sandbox.SandboxID)
		equal(must(sandbox.GetTags(r, nil)), tags)
		listed := func(tags map[string]string) (ids []string) {
			params := &modal.SandboxListParams{AppID: app.AppID, Tags: tags}
			for one, err := range must(r.Sandboxes.List(r, params)) {
				ok(err)
				ids = append(ids, one.SandboxID)
			}
			return ids
		}
		equal(listed(map[string]string{"of": of}), []string{sandbox.SandboxID})
		second := map[string]string{"of": of, "n": "2"}
		equal(listed(second), []string(nil))
		ok(sandbox.SetTags(r, second, nil))
		equal(listed(second), []string{sandbox.SandboxID})
		must(sandbox.Terminate(r, &modal.SandboxTerminateParams{Wait: true}))
		equal(listed(map[string]string{"of": of}), []string(nil))
		_, err = r.Sandboxes.FromName(r, "of-go", name, nil)
		isA[modal.NotFoundError](err)
		ended := must(r.Sandboxes.FromName(r, "of-go", name, &modal.SandboxFromNameParams{
			IncludeTerminated: true,
		}))
		equal(ended.SandboxID, sandbox.SandboxID)
	}

	programs["sandboxes.mounts"] = func(r *run) {
		volume := must(r.Volumes.FromName(r, r.facts["volume"], nil))
		sandbox := r.create(modal.SandboxCreateParams{
			Command: shell("printf kept > /data/file; echo $PWD $A $B $KEY"),
			Workdir: "/made/here",
			Env:     map[string]string{"A": "1"},
			Secrets: []*modal.Secret{
				must(r.Secrets.FromMap(r, map[string]string{"B": "2"}, nil)),
				must(r.Secrets.FromName(r, "languages", nil)),
			},
			Volumes: map[string]*modal.Volume{"/data": volume},
		})
		equal(readAll(sandbox.Stdout), "/made/here 1 2 of the store\n")
		equal(must(sandbox.Wait(r, nil)), 0)
		readOnly := &modal.VolumeMountOptionsParams{ReadOnly: pointer(true)}
		reader := r.create(modal.SandboxCreateParams{
			Command: shell("cat /data/file; echo x > /data/other || echo refused"),
			Volumes: map[string]*modal.Volume{"/data": volume.WithMountOptions(readOnly)},
		})
		equal(readAll(reader.Stdout), "keptrefused\n")
	}

	programs["sandboxes.files"] = func(r *run) {
		sandbox := r.create(modal.SandboxCreateParams{})
		defer r.end(sandbox)
		files := sandbox.Filesystem
		ok(files.WriteText(r, "some täxt", "/made/deep/a.txt", nil))
		equal(must(files.ReadText(r, "/made/deep/a.txt", nil)), "some täxt")
		data := bytes.Repeat([]byte("0123456789"), 300_000)
		ok(files.WriteBytes(r, data, "/made/b.bin", nil))
		if !bytes.Equal(must(files.ReadBytes(r, "/made/b.bin", nil)), data) {
			fail("the file came back as another")
		}
		ok(files.MakeDirectory(r, "/made/folder", nil))
		var listed []string
		for _, entry := range must(files.ListFiles(r, "/made", nil)) {
			listed = append(listed, entry.Name+" "+string(entry.Type))
		}
		equal(listed, []string{"b.bin file", "deep directory", "folder directory"})
		stat := must(files.Stat(r, "/made/b.bin", nil))
		equal(stat.Size, int64(3_000_000))
		equal(stat.Type, modal.FileTypeFile)
		folder := must(os.MkdirTemp("", "of-go-"))
		defer os.RemoveAll(folder)
		copied, local := filepath.Join(folder, "copied.txt"), filepath.Join(folder, "local.txt")
		ok(files.CopyToLocal(r, "/made/deep/a.txt", copied, nil))
		equal(string(must(os.ReadFile(copied))), "some täxt")
		ok(os.WriteFile(local, []byte("of here"), 0o600))
		ok(files.CopyFromLocal(r, local, "/made/local.txt", nil))
		equal(must(files.ReadText(r, "/made/local.txt", nil)), "of here")
		ok(files.Remove(r, "/made/local.txt", nil))
		_, err := files.ReadText(r, "/made/local.txt", nil)
		isA[modal.SandboxFilesystemNotFoundError](err)
		isA[modal.SandboxFilesystemDirectoryNotEmptyError](files.Remove(r, "/made", nil))
		ok(files.Remove(r, "/made", &modal.SandboxFilesystemRemoveParams{Recursive: true}))
		_, err = files.Stat(r, "/made", nil)
		isA[modal.SandboxFilesystemNotFoundError](err)
	}

	programs["sandboxes.snapshot"] = func(r *run) {
		sandbox := r.create(modal.SandboxCreateParams{})
		defer r.end(sandbox)
		ok(sandbox.Filesystem.WriteText(r, "kept", "/made/file", nil))
		image := must(sandbox.SnapshotFilesystem(r, nil))
		matches(image.ImageID, "^im-")
		reader := &modal.SandboxCreateParams{Command: []string{"cat", "/made/file"}}
		other := must(r.Sandboxes.Create(r, r.app(), image, reader))
		equal(readAll(other.Stdout), "kept")
		more := image.DockerfileCommands([]string{"RUN echo more >> /made/file"}, nil)
		third := must(r.Sandboxes.Create(r, r.app(), more, reader))
		equal(readAll(third.Stdout), "keptmore\n")
	}

	programs["sandboxes.ports"] = func(r *run) {
		sandbox := r.create(modal.SandboxCreateParams{
			Command:          []string{"python", "-m", "http.server", "8000"},
			UnencryptedPorts: []int{8000},
		})
		defer r.end(sandbox)
		tunnel := must(sandbox.Tunnels(r, time.Minute, nil))[8000]
		host, port, err := tunnel.TCPSocket()
		ok(err)
		address := fmt.Sprintf("http://%s:%d/", host, port)
		until("the server behind "+address+" answers", func() bool {
			answer, err := http.Get(address)
			if err != nil {
				return false
			}
			defer answer.Body.Close()
			return answer.StatusCode == http.StatusOK
		})
	}

	programs["sandboxes.left_running"] = func(r *run) {
		sandbox := r.create(modal.SandboxCreateParams{})
		ok(sandbox.Detach())
		fmt.Println(sandbox.SandboxID)
	}

	programs["sandboxes.found"] = func(r *run) {
		sandbox := must(r.Sandboxes.FromID(r, r.facts["sandbox"], nil))
		equal(must(sandbox.Poll(r, nil)), (*int)(nil))
		process := r.exec(sandbox, []string{"echo", "of go"}, nil)
		equal(readAll(process.Stdout), "of go\n")
		r.end(sandbox)
	}
}
