// SPDX-License-Identifier: Apache-2.0
//
// An image that is pushed as it is: what it says of the server in it, and what a request means with
// that. Nothing is built of it; its layers are what the function's containers get.
#pragma once

#include <string>

#include "thaw/dialect/native/cog_labels.h"
#include "thaw/dialect/native/context.h"
#include "thaw/dialect/native/push_request.h"
#include "thaw/image/image.h"

namespace thaw::dialect::native {

struct ImageFacts {
  std::string name;      // of the image, as it was asked for
  image::Recipe recipe;  // that is this image, with what its name meant now
  std::uint16_t port = 0;
  Result<std::optional<CogLabels>> cog = std::optional<CogLabels>();
};

// As Builder::find_bases(): from this machine, or from its registry.
async::Task<ImageFacts> look_at_image(Context& cx, model::WorkspaceId workspace, std::string name);

// What a request has of it that says no more: of an image of Cog all that Cog's server needs. Pure.
Unsaid unsaid_of(const ImageFacts& facts);

// The request anew, `body`, where it says nothing as the image has it. invalid_argument: what its
// labels say cannot be, or the request says of a model what is for none. Pure.
Result<PushRequest> with_image(std::string_view body, PushRequest read, const ImageFacts& facts);

}  // namespace thaw::dialect::native
