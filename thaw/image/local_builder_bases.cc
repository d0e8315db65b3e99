// SPDX-License-Identifier: Apache-2.0
//
// Bases that this machine does not make: pulled from registries, or imported by hand.
#include "thaw/async/blocking.h"
#include "thaw/image/image_import.h"
#include "thaw/image/image_name.h"
#include "thaw/image/local_builder.h"

namespace thaw::image {

namespace {

// Of one recipe, so that a line of it is no scan of a network.
constexpr std::size_t most_asked_for = 16;

bool is_made_here(const std::string& reference) {
  return find_derived_recipe(reference).has_value() || find_base_recipe(reference).has_value();
}

// The registry of the first FROM, as it is named; nullopt: that is of this machine.
std::optional<std::string> host_of_first(const Recipe& recipe,
                                         const std::vector<NamedBase>& named) {
  const NamedBase* first = nullptr;
  for (const NamedBase& base : named) {
    if (base.use == NamedBase::Use::from && (first == nullptr || base.line < first->line)) {
      first = &base;
    }
  }
  if (first == nullptr || recipe.bases.contains(first->reference) ||
      is_made_here(first->reference)) {
    return std::nullopt;
  }
  const auto name = parse_image_name(first->reference);
  return name ? std::optional(name->host) : std::nullopt;
}

Result<void> check_import_name(const std::string& name) {
  THAW_TRY_VOID(parse_image_name(name));
  if (is_made_here(name)) {
    return Error::already_exists("FROM " + name +
                                 " is made by Thaw itself, whatever is imported; give it another "
                                 "name");
  }
  return ok();
}

}  // namespace

async::Task<Recipe> LocalBuilder::find_bases(Recipe recipe) {
  THAW_CO_TRY(const std::vector<NamedBase> named, named_bases(recipe));
  // A login is for what the image is built on, as who gives it means it; others that lines name,
  // and what steps copy from, may be anybody's.
  const std::optional<std::string> login_host = host_of_first(recipe, named);
  std::size_t asked_for = 0;
  for (const NamedBase& base : named) {  // tidy(held): this task's own list
    if (recipe.bases.contains(base.reference) || is_made_here(base.reference) ||
        imports_.find(base.reference) != nullptr || recipe.found.contains(base.reference)) {
      continue;
    }
    const std::string here = find_base_recipe(base.reference).error().message();
    const auto name = parse_image_name(base.reference);
    if (!name) {
      co_return at_line(base.line, Code::not_found, here + ". " + name.error().message());
    }
    if (const auto host = puller_.host_of(*name); !host) {
      co_return at_line(base.line, host.error().code(), here + ". " + host.error().message());
    }
    if (++asked_for > most_asked_for) {
      co_return at_line(base.line, Code::resource_exhausted,
                        "more than " + std::to_string(most_asked_for) +
                            " images of registries in one recipe; build it in several");
    }
    const auto login =
        base.use == NamedBase::Use::from && name->host == login_host ? recipe.login : std::nullopt;
    auto found = co_await puller_.find(*name, login, recipe.workspace);
    if (!found) {
      co_return at_line(base.line, found.error().code(), found.error().message());
    }
    recipe.found[base.reference] = std::move(*found);
  }
  co_return recipe;
}

async::Task<ImageRecord> LocalBuilder::pull(RegistryImagePtr image, std::string workspace,
                                            BuildLog log) {
  ImageRecord record;
  record.config = image->config;
  THAW_CO_TRY(record.layers, co_await puller_.layers(image, workspace, std::move(log)));
  THAW_CO_TRY(record.python, co_await look_for_python(record));
  THAW_CO_TRY_VOID(co_await put(image->key, record));
  co_return record;
}

async::Task<ImageRecord> LocalBuilder::read_import(std::string path,
                                                   std::shared_ptr<FoundOnDisk> found,
                                                   StopFlag stop) {
  UnpackLimits limits;
  limits.bytes = options_.registries.layer_bytes;
  limits.entries = options_.registries.layer_entries;
  auto read = [this, path, limits, found, stop]() -> Result<void> {
    THAW_TRY(*found, read_image_from(*layers_, path, limits, *stop));
    return ok();
  };
  if (const auto done = co_await async::blocking(pool_, std::move(read)); !done) {
    co_return Error(done.error().code(), "cannot import " + path + ": " + done.error().message());
  }
  ImageRecord record{found->layers, found->config, ""};
  THAW_CO_TRY(record.python, co_await look_for_python(record));
  co_return record;
}

async::Task<ImportedImage> LocalBuilder::import_image(std::string path, std::string name) {
  if (!path.starts_with('/')) {
    co_return Error::invalid_argument("'" + path.substr(0, 200) + "' is no absolute path");
  }
  if (!name.empty()) {
    THAW_CO_TRY_VOID(check_import_name(name));
  }
  auto found = std::make_shared<FoundOnDisk>();
  // As a flight of its own: if nobody waits any more, it is told to stop, and waited for.
  Flights::Work work = [this, path, found](const BuildLog&, StopFlag stop) {
    return read_import(path, found, std::move(stop));
  };
  const std::string flight = "import " + std::to_string(++imports_begun_);
  const BuildLog silent([](logs::Channel, const std::string&) {});
  THAW_CO_TRY(const ImageRecord record, co_await flights_.join(flight, std::move(work), silent));
  if (name.empty() && found->names.empty()) {
    co_return Error::invalid_argument("what is at " + path +
                                      " has no name of its own; give it one: thaw image import " +
                                      path + " NAME");
  }
  name = name.empty() ? found->names.front() : name;
  THAW_CO_TRY_VOID(check_import_name(name));
  THAW_CO_TRY(const ImageName parsed, parse_image_name(name));
  ImportedImage image;
  image.name = parsed.str();
  image.key = found->key;
  image.python = record.python;
  image.layers = found->layers.size();
  image.bytes = found->bytes;
  image.imported_at = wall_now();
  // The image before its name: what has a name is there.
  THAW_CO_TRY_VOID(co_await put(image.key, record));
  THAW_CO_TRY_VOID(imports_.put(image));
  co_return image;
}

}  // namespace thaw::image
