// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/imported_images.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>

#include "thaw/base/log.h"
#include "thaw/codec/json.h"
#include "thaw/image/image_name.h"
#include "thaw/image/key_maker.h"
#include "thaw/os/files.h"

namespace thaw::image {

namespace {

using codec::Json;

constexpr std::size_t most_images = 10'000;
constexpr std::string_view suffix = ".json";

std::string text_of(const ImportedImage& image) {
  return codec::dump_json({{"format", 1},
                           {"name", image.name},
                           {"key", image.key},
                           {"python", image.python},
                           {"layers", image.layers},
                           {"bytes", image.bytes},
                           {"imported_at", to_seconds(image.imported_at)}}) +
         "\n";
}

bool read_count(const Json& json, const char* name, std::uint64_t& out) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_number_unsigned()) {
    return false;
  }
  out = found->get<std::uint64_t>();
  return true;
}

bool read_word(const Json& json, const char* name, std::string& out) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_string()) {
    return false;
  }
  out = found->get<std::string>();
  return true;
}

std::optional<ImportedImage> image_of(const std::string& text) {
  const auto json = codec::parse_json(text);
  if (!json || !json->is_object() || json->value("format", Json()) != Json(1)) {
    return std::nullopt;
  }
  ImportedImage image;
  std::uint64_t layers = 0;
  const auto at = json->find("imported_at");
  if (!read_word(*json, "name", image.name) || !read_word(*json, "key", image.key) ||
      !read_word(*json, "python", image.python) || !read_count(*json, "layers", layers) ||
      !read_count(*json, "bytes", image.bytes) || at == json->end() || !at->is_number() ||
      at->get<double>() < 0 || at->get<double>() > 1e11) {
    return std::nullopt;
  }
  const auto name = parse_image_name(image.name);
  if (!name || name->str() != image.name) {
    return std::nullopt;
  }
  image.layers = layers;
  image.imported_at = WallTime(std::chrono::duration_cast<WallTime::duration>(
      std::chrono::duration<double>(at->get<double>())));
  return image;
}

Result<void> sync_folder(const std::string& folder) {
  THAW_TRY(const os::Fd fd, os::open_file(folder, O_RDONLY | O_DIRECTORY));
  return ::fsync(fd.get()) == 0 ? ok() : Result<void>(Error::from_errno(errno, "sync " + folder));
}

}  // namespace

ImportedImages ImportedImages::open(std::string folder) {
  ImportedImages images;
  images.folder_ = std::move(folder);
  for (const std::string& file : os::list_folder(images.folder_)) {
    const std::string path = images.folder_ + "/" + file;
    if (!file.ends_with(suffix)) {
      ::unlink(path.c_str());  // of a server that ended while it wrote
      continue;
    }
    const auto text = os::read_text(path);
    auto image = text ? image_of(*text) : std::nullopt;
    if (!image) {
      log_warning("the record of an imported image cannot be read; import the image again",
                  {{"file", path}});
      continue;
    }
    std::string name = image->name;
    images.images_[std::move(name)] = std::move(*image);
  }
  return images;
}

std::string ImportedImages::path_of(const std::string& name) const {
  return folder_ + "/" + KeyMaker("thaw imported image").add(name).key() + std::string(suffix);
}

const ImportedImage* ImportedImages::find(const std::string& reference) const {
  const auto name = parse_image_name(reference);
  const auto found = name ? images_.find(name->str()) : images_.end();
  return found == images_.end() ? nullptr : &found->second;
}

std::vector<ImportedImage> ImportedImages::all() const {
  std::vector<ImportedImage> out;
  for (const auto& [name, image] : images_) {
    out.push_back(image);
  }
  return out;
}

Result<void> ImportedImages::put(ImportedImage image) {
  if (images_.size() >= most_images && !images_.contains(image.name)) {
    return Error::resource_exhausted(std::to_string(images_.size()) +
                                     " images are imported already; remove some "
                                     "(thaw image rm)");
  }
  THAW_TRY_VOID(os::make_folders(folder_, 0700));
  const std::string path = path_of(image.name);
  const std::string fresh = path + ".new";
  THAW_TRY_VOID(os::create_text(fresh, text_of(image), 0600));
  {
    THAW_TRY(const os::Fd fd, os::open_file(fresh, O_RDONLY));
    if (::fsync(fd.get()) != 0) {
      return Error::from_errno(errno, "sync " + fresh);
    }
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) {
    return Error::from_errno(errno, "keep the name " + image.name);
  }
  THAW_TRY_VOID(sync_folder(folder_));
  std::string name = image.name;
  images_[std::move(name)] = std::move(image);
  return ok();
}

Result<void> ImportedImages::remove(const std::string& name) {
  const ImportedImage* found = find(name);
  if (found == nullptr) {
    return Error::not_found("no image was imported as '" + name.substr(0, 200) +
                            "'; `thaw image list` shows those that were");
  }
  const std::string known_as = found->name;
  if (::unlink(path_of(known_as).c_str()) != 0 && errno != ENOENT) {
    return Error::from_errno(errno, "forget the name " + known_as);
  }
  images_.erase(known_as);
  return sync_folder(folder_);
}

}  // namespace thaw::image
