// SPDX-License-Identifier: Apache-2.0
//
// ImageModels: an image of Cog that was pushed to this server's registry as OWNER/NAME is a version
// of that model, whose id is the digest of what was pushed; so the same image is one version,
// however often it comes. Who pushes is answered once it can be called: what was acknowledged is
// there, and who got no answer pushes again. What the version before it was told beside its image
// stays. One image of a model at a time. Loop thread only.
#pragma once

#include <map>
#include <set>
#include <string>

#include "thaw/async/event.h"
#include "thaw/dialect/native/context.h"
#include "thaw/dialect/native/image_push.h"
#include "thaw/gateway/image_taker.h"

namespace thaw::dialect::native {

class ImageModels final : public gateway::ImageTaker {
 public:
  // `cx` outlives it.
  explicit ImageModels(Context& cx) : cx_(cx) {}

  async::Task<void> take(gateway::TakenImage image) override;

 private:
  class Turn;
  async::Task<void> make_version(gateway::TakenImage image, ImageFacts facts);
  async::Task<void> publish_version(gateway::Identity who, PushedModel model, std::string id,
                                    ImageFacts facts);

  Context& cx_;
  std::set<std::string> busy_;                         // functions, with their workspaces
  std::map<model::WorkspaceId, std::size_t> waiting_;  // images, with those that are being made
  async::Event turn_ended_;
};

}  // namespace thaw::dialect::native
