// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"regexp"
	"strings"

	modal "github.com/modal-labs/modal-client/go"
)

const base = "python:3.11-slim-bookworm"

func (r *run) app() *modal.App {
	return must(r.Apps.FromName(r, "of-go", &modal.AppFromNameParams{CreateIfMissing: true}))
}

func matches(text, pattern string) {
	if !regexp.MustCompile(pattern).MatchString(text) {
		fail("%q does not match %s", text, pattern)
	}
}

func readAll(reader io.Reader) string { return string(must(io.ReadAll(reader))) }

func init() {
	programs["things.secrets"] = func(r *run) {
		found := must(r.Secrets.FromName(r, "languages", &modal.SecretFromNameParams{
			RequiredKeys: []string{"KEY"},
		}))
		matches(found.SecretID, "^st-")
		_, err := r.Secrets.FromName(r, "languages", &modal.SecretFromNameParams{
			RequiredKeys: []string{"KEY", "OTHER"},
		})
		if err == nil {
			fail("a missing key was not missed")
		}
		_, err = r.Secrets.FromName(r, "no-such-secret", nil)
		isA[modal.NotFoundError](err)
		isA[modal.NotFoundError](r.Secrets.Delete(r, "no-such-secret", nil))
		ok(r.Secrets.Delete(r, "no-such-secret", &modal.SecretDeleteParams{AllowMissing: true}))
		_, err = r.Secrets.FromMap(r, map[string]string{"not-a-name": "x"}, nil)
		isA[modal.InvalidError](err)
	}

	programs["things.volumes"] = func(r *run) {
		name := unique("of-go")
		_, err := r.Volumes.FromName(r, name, nil)
		isA[modal.NotFoundError](err)
		create := &modal.VolumeFromNameParams{CreateIfMissing: true}
		made := must(r.Volumes.FromName(r, name, create))
		matches(made.VolumeID, "^vo-")
		equal(must(r.Volumes.FromName(r, name, nil)).VolumeID, made.VolumeID)
		ok(r.Volumes.Delete(r, name, nil))
		_, err = r.Volumes.FromName(r, name, nil)
		isA[modal.NotFoundError](err)
		ok(r.Volumes.Delete(r, name, &modal.VolumeDeleteParams{AllowMissing: true}))
		passing := must(r.Volumes.Ephemeral(r, nil))
		matches(passing.VolumeID, "^vo-")
		passing.CloseEphemeral()
	}

	programs["things.apps"] = func(r *run) {
		name := unique("of-go")
		_, err := r.Apps.FromName(r, name, nil)
		isA[modal.NotFoundError](err)
		create := &modal.AppFromNameParams{CreateIfMissing: true}
		made := must(r.Apps.FromName(r, name, create))
		matches(made.AppID, "^ap-")
		equal(must(r.Apps.FromName(r, name, nil)).AppID, made.AppID)
		info := must(must(r.Apps.FromName(r, app, nil)).Info(r, nil))
		if info.Functions["add"] == "" {
			fail("no function add in %v", info)
		}
		equal(info.Lifecycle.State, modal.AppStateDeployed)
	}

	programs["things.environments"] = func(r *run) {
		name := unique("of-go")
		_, err := r.Environments.FromName(r, name, nil)
		isA[modal.NotFoundError](err)
		ok(r.Environments.Objects.Create(r, name, nil))
		isA[modal.AlreadyExistsError](r.Environments.Objects.Create(r, name, nil))
		found := must(r.Environments.FromName(r, name, nil))
		equal(found.Name, name)
		only := must(r.Apps.FromName(r, "only-here", &modal.AppFromNameParams{
			CreateIfMissing: true, Environment: name,
		}))
		var listed []string
		for one, err := range must(found.Apps.List(r)) {
			ok(err)
			listed = append(listed, one.AppID)
		}
		equal(listed, []string{only.AppID})
		_, err = r.Apps.FromName(r, "only-here", nil)
		isA[modal.NotFoundError](err)
		names := " "
		for one, err := range must(r.Environments.Objects.List(r)) {
			ok(err)
			names += one.Name + " "
		}
		if !strings.Contains(names, " "+name+" ") || !strings.Contains(names, " main ") {
			fail("the environments are%s", names)
		}
		ok(r.Environments.Objects.Delete(r, name))
		_, err = r.Environments.FromName(r, name, nil)
		isA[modal.NotFoundError](err)
	}

	programs["things.images"] = func(r *run) {
		app := r.app()
		built := must(r.Images.FromRegistry(base, nil).Build(r, app, nil))
		matches(built.ImageID, "^im-")
		secret := must(r.Secrets.FromMap(r, map[string]string{"FROM_SECRET": "s"}, nil))
		image := r.Images.FromRegistry(base, nil).
			DockerfileCommands([]string{"ENV MADE=by-go", "WORKDIR /made"}, nil).
			DockerfileCommands([]string{"RUN echo $MADE $GIVEN $FROM_SECRET > file"},
				&modal.ImageDockerfileCommandsParams{
					Env: map[string]string{"GIVEN": "g"}, Secrets: []*modal.Secret{secret},
				})
		image = must(image.Build(r, app, nil))
		equal(must(r.Images.FromID(r, image.ImageID, nil)).ImageID, image.ImageID)
		sandbox := must(r.Sandboxes.Create(r, app, image, &modal.SandboxCreateParams{
			Command: []string{"cat", "file"},
		}))
		equal(readAll(sandbox.Stdout), "by-go g s\n")
		equal(must(sandbox.Wait(r, nil)), 0)
		failing := image.DockerfileCommands([]string{"RUN echo the reason; exit 3"}, nil)
		_, err := failing.Build(r, app, nil)
		says(isA[modal.RemoteError](err), "failed with the exception")
		_, err = r.Images.FromRegistry("no-such-image:1", nil).Build(r, app, nil)
		says(err, "no-such-image")
		_, err = r.Images.FromID(r, "im-"+strings.Repeat("a", 22), nil)
		isA[modal.NotFoundError](err)
	}

	programs["things.not_served"] = func(r *run) {
		_, err := r.Proxies.FromName(r, "some-proxy", nil)
		says(err, "proxies")
		_, err = r.function("add").Stats(r, nil)
		says(err, "statistics over time")
	}

	programs["things.wrong_token"] = func(r *run) {
		_, err := r.Apps.FromName(r, app, nil)
		says(err, "Unauthenticated")
		says(err, "token")
	}
}
