// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/box_note.h"

#include "thaw/codec/encoding.h"
#include "thaw/codec/fields.h"
#include "thaw/codec/json.h"
#include "thaw/control/boxes.h"

namespace thaw::control {

namespace {

using codec::Json;

// Texts of programs and their makers may be no UTF-8.
std::vector<std::string> as_base64(const std::vector<std::string>& texts) {
  std::vector<std::string> encoded;
  for (const std::string& text : texts) {
    encoded.push_back(codec::base64_encode(text));
  }
  return encoded;
}

void read_base64(codec::Fields& fields, const char* name, std::string& out) {
  std::string encoded;
  fields.read(name, encoded);
  if (auto text = codec::base64_decode(encoded)) {
    out = std::move(*text);
  } else {
    fields.wrong(name, "no base64");
  }
}

void read_base64(codec::Fields& fields, const char* name, std::vector<std::string>& out) {
  std::vector<std::string> encoded;
  fields.read(name, encoded);
  for (const std::string& one : encoded) {
    if (auto text = codec::base64_decode(one)) {
      out.push_back(std::move(*text));
    } else {
      fields.wrong(name, "no base64");
    }
  }
}

// 0: never.
std::int64_t nanos_of(Instant moment) {
  return moment == Instant::max() ? 0 : moment.time_since_epoch().count();
}

}  // namespace

std::string write_note(const ProcessNote& note) {
  return Json({{"id", codec::base64_encode(note.id)},
               {"out", static_cast<int>(note.keeps.out)},
               {"error", static_cast<int>(note.keeps.error)},
               {"kill_at", nanos_of(note.kill_at)},
               {"journal", note.journal}})
      .dump();
}

Result<ProcessNote> read_process_note(const std::string& text) {
  THAW_TRY(const Json json, codec::parse_json(text));
  codec::Fields fields(json);
  ProcessNote note;
  std::int64_t kill_at = 0;
  read_base64(fields, "id", note.id);
  fields.read_enum("out", note.keeps.out, KeptOutput::Loses::all);
  fields.read_enum("error", note.keeps.error, KeptOutput::Loses::all);
  fields.read("kill_at", kill_at);
  fields.read("journal", note.journal);
  THAW_TRY_VOID(fields.outcome());
  note.kill_at = kill_at == 0 ? Instant::max() : Instant(Duration(kill_at));
  return note;
}

std::string write_note(const Box& box) {
  Json volumes = Json::array();
  for (const model::VolumeMount& mount : box.spec.volumes) {
    volumes.push_back({{"volume", mount.volume},
                       {"path", codec::base64_encode(mount.path)},
                       {"access", static_cast<int>(mount.access)}});
  }
  Json note = {{"env", as_base64(box.env)},
               {"user", codec::base64_encode(box.user)},
               {"cwd", codec::base64_encode(box.cwd)},
               {"mounts", box.spec.mounts},
               {"volumes", std::move(volumes)},
               {"disk_bytes", box.spec.resources.disk_bytes},
               {"network", static_cast<int>(box.spec.network)}};
  if (box.spec.probe) {
    note["probe"] = {{"port", box.spec.probe->port},
                     {"argv", as_base64(box.spec.probe->argv)},
                     {"pause", box.spec.probe->pause.count()}};
  }
  return note.dump();
}

Result<void> read_note(const std::string& text, Box& box) {
  THAW_TRY(const Json json, codec::parse_json(text));
  if (!json.is_object()) {
    return Error::data_loss("the note of a box is none");
  }
  codec::Fields fields(json);
  read_base64(fields, "env", box.env);
  read_base64(fields, "user", box.user);
  read_base64(fields, "cwd", box.cwd);
  fields.read("mounts", box.spec.mounts);
  for (const Json& item : fields.items("volumes")) {
    codec::Fields part(item);
    model::VolumeMount mount;
    part.read("volume", mount.volume);
    read_base64(part, "path", mount.path);
    part.read_enum("access", mount.access, model::VolumeMount::Access::read_only);
    fields.include(part);
    box.spec.volumes.push_back(std::move(mount));
  }
  fields.read("disk_bytes", box.spec.resources.disk_bytes);
  fields.read_enum("network", box.spec.network, model::NetworkAccess::blocked);
  if (json.contains("probe")) {
    codec::Fields part(fields.object("probe"));
    ReadyProbe& probe = box.spec.probe.emplace();
    part.read("port", probe.port);
    read_base64(part, "argv", probe.argv);
    part.read_duration("pause", probe.pause);
    fields.include(part);
  }
  return fields.outcome();
}

}  // namespace thaw::control
