// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/image_import.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "thaw/codec/json.h"
#include "thaw/codec/sha256.h"
#include "thaw/image/image_manifest.h"
#include "thaw/image/image_name.h"
#include "thaw/image/root_tree.h"
#include "thaw/image/subprocess.h"
#include "thaw/os/files.h"

namespace thaw::image {

namespace {

using codec::Json;

// What stands at the top of an archive of an image, and not of a root file system.
const std::vector<std::string>& marks() {
  static const std::vector<std::string> names = {"/manifest.json", "/index.json", "/oci-layout"};
  return names;
}

constexpr int deepest_index = 3;

bool is_folder(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

Error bad(const std::string& what) {
  return Error::failed_precondition("what is to be imported is no image: " + what);
}

std::string sha256_of(const std::string& bytes) {
  codec::Sha256 digest;
  digest.update(bytes);
  return "sha256:" + digest.hex();
}

Result<Json> read_object(const std::string& text, const std::string& what) {
  auto json = codec::parse_json(text);
  if (!json || text.size() > most_manifest_bytes) {
    return bad(what + " is no JSON, or too much of it");
  }
  return json;
}

void add_name(const Json& from, const char* field, FoundOnDisk& found) {
  const auto name = from.find(field);
  if (name != from.end() && name->is_string() && found.names.size() < 100) {
    found.names.push_back(name->get<std::string>());
  }
}

// What unpacking has told of a layer that is there already.
std::uint64_t bytes_of(const LayerStore& store, const std::string& layer) {
  const std::string folder = store.folder_of(layer);
  const auto text = os::read_text(folder.substr(0, folder.rfind('/')) + "/meta.json");
  const Json json = Json::parse(text.value_or(""), nullptr, false);
  const auto bytes = json.is_object() ? json.find("bytes") : json.end();
  return bytes != json.end() && bytes->is_number_unsigned() ? bytes->get<std::uint64_t>() : 0;
}

class Importer {
 public:
  Importer(LayerStore& store, const UnpackLimits& limits, const std::atomic<bool>& stop)
      : store_(store), limits_(limits), stop_(stop) {}

  Result<FoundOnDisk> from_path(const std::string& path) {
    if (!os::exists(path)) {
      return Error::not_found("there is no " + path + " on the server's machine");
    }
    if (is_folder(path)) {
      return from_folder(path);
    }
    const auto opened = os::open_file(path, O_RDONLY);
    if (!opened) {
      return opened.error();
    }
    if (has_entry(*opened, marks(), limits_, stop_)) {
      THAW_TRY(const Draft draft, store_.draft());
      const std::string folder = draft.folder() + "/archive";
      THAW_TRY_VOID(os::make_folders(folder, 0700));
      THAW_TRY_VOID(rewind(*opened));
      THAW_TRY_VOID(unpack_layer(*opened, folder, limits_, stop_));
      return from_folder(folder);
    }
    THAW_TRY_VOID(rewind(*opened));
    return from_root(*opened);
  }

 private:
  static Result<void> rewind(const os::Fd& file) {
    return ::lseek(file.get(), 0, SEEK_SET) == 0
               ? ok()
               : Result<void>(Error::from_errno(errno, "read it a second time"));
  }

  Result<FoundOnDisk> from_folder(const std::string& folder) {
    THAW_TRY(const RootTree tree, RootTree::open_folder(folder));
    if (tree.open("/index.json", O_PATH)) {
      return from_layout(tree);
    }
    if (tree.open("/manifest.json", O_PATH)) {
      return from_docker(tree);
    }
    return from_root_folder(folder);
  }

  static std::string blob_path(const std::string& digest) {
    return "/blobs/sha256/" + digest.substr(std::string_view("sha256:").size());
  }

  // A small one, checked.
  static Result<std::string> read_blob(const RootTree& tree, const std::string& digest) {
    THAW_TRY(std::string text, tree.read_text(blob_path(digest), most_manifest_bytes));
    if (sha256_of(text) != digest) {
      return Error(Code::data_loss, blob_path(digest) +
                                        " is not what its name says: the archive "
                                        "is damaged");
    }
    return text;
  }

  Result<FoundOnDisk> from_layout(const RootTree& tree) {
    FoundOnDisk found;
    THAW_TRY(std::string text, tree.read_text("/index.json", most_manifest_bytes));
    THAW_TRY(const Json index, read_object(text, "index.json"));
    if (index.is_object() && index.contains("manifests") && index["manifests"].is_array()) {
      for (const Json& one : index["manifests"]) {
        const auto notes = one.is_object() ? one.find("annotations") : one.end();
        if (one.is_object() && notes != one.end() && notes->is_object()) {
          add_name(*notes, "io.containerd.image.name", found);
          add_name(*notes, "org.opencontainers.image.ref.name", found);
        }
      }
    }
    const Platform platform = Platform::own();
    for (int depth = 0;; ++depth) {
      THAW_TRY(ManifestOrNext read, read_manifest(text, platform));
      if (const auto* manifest = std::get_if<Manifest>(&read)) {
        THAW_TRY(const std::string config_text, read_blob(tree, manifest->config.digest));
        std::vector<std::string> files;
        for (const Descriptor& layer : manifest->layers) {
          files.push_back(blob_path(layer.digest));
        }
        THAW_TRY_VOID(add_layers(tree, config_text, files, found));
        return found;
      }
      if (depth == deepest_index) {
        return bad("its index leads to indexes, on and on");
      }
      const std::string digest = std::get<Descriptor>(read).digest;
      THAW_TRY(text, read_blob(tree, digest));
    }
  }

  Result<FoundOnDisk> from_docker(const RootTree& tree) {
    THAW_TRY(const std::string text, tree.read_text("/manifest.json", most_manifest_bytes));
    THAW_TRY(const Json images, read_object(text, "manifest.json"));
    if (!images.is_array() || images.size() != 1 || !images[0].is_object()) {
      return bad("manifest.json holds " + std::to_string(images.is_array() ? images.size() : 0) +
                 " images; save one at a time");
    }
    const Json& image = images[0];
    const auto config = image.find("Config");
    const auto layers = image.find("Layers");
    if (config == image.end() || !config->is_string() || layers == image.end() ||
        !layers->is_array() || layers->size() > most_layers) {
      return bad("manifest.json names no configuration or no layers");
    }
    FoundOnDisk found;
    if (const auto tags = image.find("RepoTags"); tags != image.end() && tags->is_array()) {
      for (const Json& tag : *tags) {
        if (tag.is_string() && found.names.size() < 100) {
          found.names.push_back(tag.get<std::string>());
        }
      }
    }
    std::vector<std::string> files;
    for (const Json& layer : *layers) {
      if (!layer.is_string()) {
        return bad("manifest.json names a layer by something that is no path");
      }
      files.push_back("/" + layer.get<std::string>());
    }
    THAW_TRY(const std::string config_text,
             tree.read_text("/" + config->get<std::string>(), most_manifest_bytes));
    THAW_TRY_VOID(add_layers(tree, config_text, files, found));
    return found;
  }

  Result<void> add_layers(const RootTree& tree, const std::string& config_text,
                          const std::vector<std::string>& files, FoundOnDisk& found) {
    THAW_TRY(const ConfigFile config, read_config_file(config_text, Platform::own()));
    if (config.layer_ids.size() != files.size() || files.empty()) {
      return bad("it has " + std::to_string(files.size()) +
                 " layers, and its configuration speaks of " +
                 std::to_string(config.layer_ids.size()));
    }
    for (std::size_t i = 0; i < files.size(); ++i) {
      const std::string key = layer_key(config.layer_ids[i]);
      if (!store_.has_layer(key)) {
        THAW_TRY(const os::Fd file, tree.open(files[i], O_RDONLY | O_NONBLOCK));
        THAW_TRY(const Draft draft, store_.draft());
        THAW_TRY(const ForeignLayer layer,
                 commit_foreign_layer(store_, draft, file, config.layer_ids[i], limits_, stop_));
        found.left_out += layer.left_out;
      }
      found.layers.push_back("layer:" + key);
      found.bytes += bytes_of(store_, found.layers.back());
    }
    found.layers = each_once(found.layers);
    found.key = image_key(config.layer_ids, config.config);
    found.config = config.config;
    return ok();
  }

  Result<FoundOnDisk> from_root(const os::Fd& tar) {
    THAW_TRY(const Draft draft, store_.draft());
    THAW_TRY(const ForeignLayer layer,
             commit_foreign_layer(store_, draft, tar, "", limits_, stop_));
    FoundOnDisk found;
    found.layers = {layer.name};
    found.config.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
    found.key = image_key({layer.id}, found.config);
    found.bytes = layer.bytes;
    found.left_out = layer.left_out;
    return found;
  }

  Result<FoundOnDisk> from_root_folder(const std::string& folder) {
    THAW_TRY(const Draft draft, store_.draft());
    const std::string tar = draft.folder() + "/root.tar";
    Program program;
    program.argv = {"tar",
                    "--create",
                    "--file",
                    tar,
                    "--directory",
                    folder,
                    "--one-file-system",
                    "--numeric-owner",
                    "--sort=name",
                    "--format=pax",
                    "--pax-option=delete=atime,delete=ctime",
                    "--xattrs",
                    "--xattrs-include=security.capability",
                    "."};
    program.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                   "LC_ALL=C.UTF-8"};
    program.time_limit = limits_.time;
    std::string said;
    THAW_TRY(const int code, run_program(
                                 program,
                                 [&said](std::string_view piece) {
                                   said = (said + std::string(piece)).substr(0, 1'000);
                                 },
                                 stop_));
    if (code != 0) {
      return Error::failed_precondition("cannot read " + folder +
                                        " as a root file system: tar "
                                        "ended with " +
                                        std::to_string(code) + ": " + said);
    }
    THAW_TRY(const os::Fd file, os::open_file(tar, O_RDONLY));
    return from_root(file);
  }

  LayerStore& store_;
  const UnpackLimits& limits_;
  const std::atomic<bool>& stop_;
};

}  // namespace

Result<FoundOnDisk> read_image_from(LayerStore& store, const std::string& path,
                                    const UnpackLimits& limits, const std::atomic<bool>& stop) {
  return Importer(store, limits, stop).from_path(path);
}

}  // namespace thaw::image
