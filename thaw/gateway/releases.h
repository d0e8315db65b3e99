// SPDX-License-Identifier: Apache-2.0
//
// Releases: one function by itself becomes live, with the app of its name, in three steps: its
// image is there or is built (image_for), a draft of it gets its place (begin), and what the
// dialect has made of the draft is published (publish). An app that has many functions is published
// by deployments.h, which this is a form of. Loop thread only.
#pragma once

#include <memory>
#include <string>

#include "thaw/gateway/deployments.h"
#include "thaw/gateway/image_builds.h"
#include "thaw/gateway/invoke.h"
#include "thaw/store/blob_store.h"

namespace thaw::gateway {

struct ReleaseParts {
  catalog::Catalog& catalog;
  store::BlobStore& blobs;
  image::Builder& images;
  ImageBuilds& builds;
  Deployments& deployments;
  const Invoke& invoke;
};

// A version that nobody has seen yet.
struct Draft {
  // Its id, version, app, workspace, environment, dialect and name are set; the rest is its
  // dialect's to say.
  model::FunctionSpec spec;
  model::App app;
  bool app_is_there = false;  // else it is made with the publication
  std::size_t keep = 0;       // versions at most, the live one among them
  AliasShares shares = {};
  std::uint64_t turn = 0;  // of Deployments::begin(); 0: nobody is later
};

class Releases {
 public:
  // All parts outlive it.
  explicit Releases(ReleaseParts parts) : parts_(parts) {}

  struct Wanted {
    model::Image image;
    std::shared_ptr<ImageBuilds::Build> build;  // that is to make it; null: it is there
  };
  // Equal recipes on equal bases are one image of the workspace. Begins a build if it is not there.
  // failed_precondition: a file of the recipe was not sent; resource_exhausted: too many builds
  // run; and what Builder::find_bases() says.
  async::Task<Wanted> image_for(model::WorkspaceId workspace, image::Recipe recipe);
  // failed_precondition: it failed, and why.
  static async::Task<void> until_built(std::shared_ptr<ImageBuilds::Build> build);

  // already_exists: the name is that of an app of another kind.
  Result<Draft> begin(const catalog::Scope& scope, const std::string& dialect,
                      const std::string& name) const;
  // As Deployments::publish(). Returns the function at the draft's own version.
  async::Task<Published> publish(catalog::Scope scope, Draft draft);

 private:
  ReleaseParts parts_;
};

}  // namespace thaw::gateway
