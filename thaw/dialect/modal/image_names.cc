// SPDX-License-Identifier: Apache-2.0
// Images by name: published, found, listed, with what the name stood for before; and the layers of
// an image whose builds left something to read.
#include <algorithm>
#include <charconv>
#include <set>

#include "thaw/codec/ids.h"
#include "thaw/dialect/modal/named_state.h"
#include "thaw/dialect/modal/proto/images.pb.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;
using async::Task;
using model::ImageName;

namespace {

constexpr std::size_t most_revisions = 100;
constexpr std::size_t most_on_a_page = 1000;
constexpr std::size_t usual_page = 100;
constexpr std::size_t most_layers = 500;  // of one image, that are told about

struct Reference {
  model::EnvironmentId environment;
  std::string environment_name;
  std::string name;  // with its tag
};

// "[ENVIRONMENT/]NAME[:TAG]"; `environment_name` counts where the name has none.
Result<Reference> reference_of(Context& cx, const gateway::Identity& who, const std::string& tag,
                               const std::string& environment_name) {
  const auto slash = tag.rfind('/');
  std::string environment = environment_name;
  std::string name = tag;
  if (slash != std::string::npos) {
    environment = tag.substr(0, slash);
    name = tag.substr(slash + 1);
    if (environment.empty() || environment.find('/') != std::string::npos) {
      return Error::invalid_argument("'" + tag.substr(0, 200) +
                                     "' is no image's name: [ENVIRONMENT/]NAME[:TAG]; images of "
                                     "other workspaces are not reached by name");
    }
    if (!environment_name.empty() && environment_name != environment) {
      return Error::invalid_argument("the image's name says environment '" +
                                     environment.substr(0, 80) + "', and the request '" +
                                     environment_name.substr(0, 80) + "'");
    }
  }
  const auto colon = name.find(':');
  const std::string version = colon == std::string::npos ? "latest" : name.substr(colon + 1);
  name = name.substr(0, colon);
  THAW_TRY_VOID(check_object_name(name, "an image"));
  THAW_TRY_VOID(check_object_name(version, "an image's tag"));
  if (name.starts_with("im-")) {
    return Error::invalid_argument("an image's name does not begin with \"im-\", as ids do");
  }
  THAW_TRY(const auto found, find_environment(cx, who, environment));
  return Reference{found->id, found->name, name + ":" + version};
}

Error no_such_name(const Reference& reference) {
  return Error::not_found("Image '" + reference.name + "' not found in environment '" +
                          reference.environment_name +
                          "'; `modal image names list` shows those that are there");
}

Task<pb::ImagePublishResponse> publish(Context& cx, net::GrpcCall& call,
                                       pb::ImagePublishRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  if (request.allow_public()) {
    co_return Error::unimplemented("images are published inside of their workspace only");
  }
  THAW_CO_TRY(const Reference reference,
              reference_of(cx, who, request.tag(), request.environment_name()));
  const auto image = scope_of(cx, who).image(request.image_id());
  if (!image) {
    co_return Error::not_found("image '" + request.image_id().substr(0, 80) + "' does not exist");
  }
  ImageName name;
  if (const auto known = scope_of(cx, who).image_name(reference.environment, reference.name)) {
    name = *known;
  } else {
    name.id = model::ImageNameId(codec::random_id("it"));
    name.workspace = who.workspace;
    name.environment = reference.environment;
    name.name = reference.name;
    name.created_at = wall_now();
  }
  // A client that repeats its request, or publishes what is there, adds nothing.
  if (name.revisions.empty() || name.revisions.back().image != image->id) {
    ImageName::Revision revision;
    revision.id = codec::random_id("ir");
    revision.image = image->id;
    revision.at = wall_now();
    revision.by = cx.parts.access.name_of(who);
    name.revisions.push_back(std::move(revision));
    if (name.revisions.size() > most_revisions) {
      name.revisions.erase(name.revisions.begin());
    }
  }
  pb::ImagePublishResponse reply;
  reply.set_image_id(image->id.str());
  reply.set_revision_id(name.revisions.back().id);
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.image_names.put(std::move(name)));
  co_return reply;
}

Task<pb::ImageGetByTagResponse> get_by_tag(Context& cx, net::GrpcCall& call,
                                           pb::ImageGetByTagRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const Reference reference,
              reference_of(cx, who, request.tag(), request.environment_name()));
  const auto name = scope_of(cx, who).image_name(reference.environment, reference.name);
  if (!name || name->revisions.empty()) {
    co_return no_such_name(reference);
  }
  const std::string id = name->revisions.back().image.str();
  if (!scope_of(cx, who).image(id)) {
    co_return Error::not_found("Image '" + reference.name + "' stands for " + id +
                               ", which was deleted; publish another one by that name");
  }
  pb::ImageGetByTagResponse reply;
  reply.set_image_id(id);
  co_return reply;
}

std::size_t page_size(std::uint32_t asked) {
  return asked == 0 ? usual_page : std::min<std::size_t>(asked, most_on_a_page);
}

// By name; a page's token is the last name of the one before.
Task<pb::ImageListTagsResponse> list_tags(Context& cx, net::GrpcCall& call,
                                          pb::ImageListTagsRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto environment, find_environment(cx, who, request.environment_name()));
  auto names = scope_of(cx, who).image_names_in(environment->id);
  std::erase_if(names, [&request](const auto& name) {
    return name->revisions.empty() || !name->name.starts_with(request.tag_prefix()) ||
           (!request.page_token().empty() && name->name <= request.page_token()) ||
           (!request.image_id().empty() &&
            name->revisions.back().image.str() != request.image_id());
  });
  std::sort(names.begin(), names.end(),
            [](const auto& a, const auto& b) { return a->name < b->name; });
  pb::ImageListTagsResponse reply;
  reply.set_environment_name(environment->name);
  const std::size_t most = page_size(request.max_objects());
  if (names.size() > most) {
    names.resize(most);
    reply.set_next_page_token(names.back()->name);
  }
  for (const auto& name : names) {
    const ImageName::Revision& last = name->revisions.back();
    auto* item = reply.add_items();
    item->set_tag(name->name);
    item->set_image_id(last.image.str());
    item->set_revision_id(last.id);
    item->set_created_at(unix_seconds(name->created_at));
    item->set_updated_at(unix_seconds(last.at));
    item->set_last_published_by(last.by);
  }
  co_return reply;
}

// The newest first; a page's token says how many there were before it.
Task<pb::ImageTagRevisionsResponse> tag_revisions(Context& cx, net::GrpcCall& call,
                                                  pb::ImageTagRevisionsRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const Reference reference,
              reference_of(cx, who, request.tag(), request.environment_name()));
  pb::ImageTagRevisionsResponse reply;
  reply.set_tag(reference.name);
  reply.set_environment_name(reference.environment_name);
  const auto name = scope_of(cx, who).image_name(reference.environment, reference.name);
  if (!name) {
    co_return reply;  // the client says what this means
  }
  std::size_t before = 0;
  const std::string& token = request.page_token();
  std::from_chars(token.data(), token.data() + token.size(), before);
  const std::size_t count = name->revisions.size();
  const std::size_t end =
      std::min(count, std::min(before, count) + page_size(request.max_objects()));
  for (std::size_t i = std::min(before, count); i < end; ++i) {
    const ImageName::Revision& revision = name->revisions[count - 1 - i];
    auto* item = reply.add_items();
    item->set_image_id(revision.image.str());
    item->set_revision_id(revision.id);
    item->set_created_at(unix_seconds(revision.at));
    item->set_published_by(revision.by);
  }
  if (end < count) {
    reply.set_next_page_token(std::to_string(end));
  }
  co_return reply;
}

Task<Empty> delete_name(Context& cx, net::GrpcCall& call, pb::ImageNameDeleteRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const Reference reference, reference_of(cx, who, request.tag(), {}));
  const auto name = scope_of(cx, who).image_name(reference.environment, reference.name);
  if (!name) {
    co_return no_such_name(reference);
  }
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.image_names.erase(name->id.str()));
  co_return Empty();
}

// Whoever builds it again finds its layers; containers and functions keep theirs.
Task<Empty> delete_image(Context& cx, net::GrpcCall& call, pb::ImageDeleteRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  const auto image = scope_of(cx, who).image(request.image_id());
  if (!image) {
    co_return Error::not_found("image '" + request.image_id().substr(0, 80) + "' does not exist");
  }
  if (cx.parts.catalog.is_image_in_use(image->id.str())) {
    co_return Error::failed_precondition(
        "image '" + image->id.str() +
        "' is that of a function, of a sandbox that lives, or of a name; remove these first");
  }
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.images.erase(image->id.str()));
  co_return Empty();
}

void set_time(WallTime time, google::protobuf::Timestamp& out) {
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch());
  out.set_seconds(micros.count() / 1'000'000);
  out.set_nanos(static_cast<std::int32_t>(micros.count() % 1'000'000 * 1000));
}

pb::ImageBuildStep step_of(const model::ImageId& id, WallTime began, WallTime ended) {
  pb::ImageBuildStep step;
  step.set_image_id(id.str());
  step.set_builder_app_id(id.str());  // whose log is asked for by it
  set_time(began - 1s, *step.mutable_started_at());
  set_time(ended + 1s, *step.mutable_finished_at());
  return step;
}

Task<pb::ImageBuildChainGetResponse> build_chain(Context& cx, net::GrpcCall& call,
                                                 pb::ImageBuildChainGetRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  const catalog::Scope scope = scope_of(cx, who);
  std::vector<pb::ImageBuildStep> steps;  // the last layer first
  model::ImageId id(request.image_id());
  std::set<model::ImageId> seen;
  while (!id.empty() && seen.size() < most_layers && seen.insert(id).second) {
    const auto image = scope.image(id.str());
    const auto build = cx.parts.builds.find(who.workspace, id);
    if (!image && !build && steps.empty()) {
      co_return Error::not_found("image '" + id.str().substr(0, 80) + "' does not exist");
    }
    // The last build counts, also one that failed or runs.
    if (build) {
      const bool runs = build->state == gateway::ImageBuilds::State::running;
      steps.push_back(step_of(id, build->began_at, runs ? wall_now() : build->ended_at));
    } else if (image && image->built_at != WallTime{}) {
      steps.push_back(step_of(id, image->began_at, image->built_at));
    }
    id = image ? image->base : build ? build->base : model::ImageId();
  }
  pb::ImageBuildChainGetResponse reply;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    *reply.add_build_steps() = std::move(*step);
  }
  co_return reply;
}

}  // namespace

void add_image_name_rpcs(net::GrpcTable& table, Context& cx) {
  add(table, cx, "ImagePublish", publish);
  add(table, cx, "ImageGetByTag", get_by_tag);
  add(table, cx, "ImageListTags", list_tags);
  add(table, cx, "ImageTagRevisions", tag_revisions);
  add(table, cx, "ImageNameDelete", delete_name);
  add(table, cx, "ImageDelete", delete_image);
  add(table, cx, "ImageBuildChainGet", build_chain);
}

}  // namespace thaw::dialect::modal
