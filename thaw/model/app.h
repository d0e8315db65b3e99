// SPDX-License-Identifier: Apache-2.0
//
// An app is a named deployment of functions and classes, or an unnamed one that lives as long as
// its client. Plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/model/ids.h"

namespace thaw::model {

struct Workspace {
  WorkspaceId id;
  std::string name;
};

struct Environment {
  EnvironmentId id;
  WorkspaceId workspace;
  std::string name;
  WallTime created_at{};
  // In the web addresses of what is deployed in it; none: its name, and nothing of the default one.
  std::optional<std::string> web_suffix = std::nullopt;
  std::string builder_version = {};  // of its image recipes; empty: the newest
  // ending: it was deleted, has no name any more, and goes with all that is in it.
  enum class Life : int { there = 0, ending = 1 } life = Life::there;
};

enum class AppState : int {
  initializing = 0,
  ephemeral = 1,
  detached = 2,
  deployed = 3,
  stopped = 4
};

// What the program of a deployment was made from, as its client says.
struct Revision {
  std::string system;  // "git"; empty: the client said nothing
  std::string branch;
  std::string hash;
  bool is_modified = false;  // there was more than is in it
};

struct Deployment {
  // What its functions were made of. staged: it is not live, and was made to be promoted. rollback,
  // rollover, promotion: those of the deployment that `of` names. The numbers are on disks.
  enum class Kind : int { standard = 0, staged = 1, rollback = 2, rollover = 3, promotion = 4 };

  int version = 0;
  WallTime at{};
  std::string tag;
  std::string client_version;
  std::string by = {};  // who asked for it, as people call them
  Kind kind = Kind::standard;
  int of = 0;  // another deployment's version; 0: of none
  Revision revision = {};
  // By which a client that asks again is known, after the death of the server too; may be empty.
  std::string key = {};
};

// Each deployment may bring some more.
inline constexpr std::size_t most_app_tags = 100;

struct App {
  AppId id;
  WorkspaceId workspace;
  EnvironmentId environment;
  std::string name;  // of the deployment; empty for an ephemeral app
  std::string description;
  AppState state = AppState::initializing;
  WallTime created_at{};
  WallTime deployed_at{};
  WallTime stopped_at{};
  std::string created_by;                       // as people call them; empty: not known
  std::string stopped_by;                       // empty: nobody, it ended
  int version = 0;                              // of the deployment that is live
  std::map<std::string, FunctionId> functions;  // tag -> function, as last published
  std::map<std::string, ClassId> classes;
  std::map<std::string, std::string> tags;  // most_app_tags at most
  std::vector<Deployment> history;          // newest last, bounded

  // What people call it.
  const std::string& title() const { return name.empty() ? description : name; }
};

struct Class {
  ClassId id;
  AppId app;
  std::string tag;
};

struct MountFile {
  std::string path;  // absolute, inside the container
  std::string sha256_hex;
  std::uint32_t mode = 0644;
};

// A set of files laid over an image. Content-addressed: equal files give equal ids.
struct Mount {
  MountId id;
  WorkspaceId workspace;
  std::string name;  // of a named mount; else empty
  std::string checksum;
  std::vector<MountFile> files;
  WallTime used_at{};  // when a client asked for it last, roughly
};

struct Secret {
  SecretId id;
  WorkspaceId workspace;
  EnvironmentId environment;
  std::string name;  // empty: anonymous
  AppId owner;       // anonymous ones go with their app
  WallTime created_at{};
  std::vector<std::string> keys;
  std::string sealed;  // encrypted JSON object of name -> value
};

struct Image {
  ImageId id;
  WorkspaceId workspace;
  std::string key;  // content address in the layer store
  std::string builder_version;
  std::string recipe;  // opaque: the dialect's own form
  ImageId base = {};   // that it was built on; empty: none of the workspace's own
  WallTime began_at{};
  WallTime built_at{};  // of the last build; none: all of it was there
};

// What an image is found by in its environment, whatever it is called there now.
struct ImageName {
  struct Revision {  // of what it stands for
    std::string id;
    ImageId image;
    WallTime at{};
    std::string by;  // as people call them
  };
  ImageNameId id;
  WorkspaceId workspace;
  EnvironmentId environment;
  std::string name;  // with its tag: "trainer:v2"
  WallTime created_at{};
  std::vector<Revision> revisions = {};  // oldest first, bounded; the last one counts
};

}  // namespace thaw::model
