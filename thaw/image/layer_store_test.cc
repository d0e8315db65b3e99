// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/layer_store.h"

#include <sys/wait.h>

#include "thaw/image/image_fixture_test.h"
#include "thaw/image/image_record.h"

using namespace thaw;
using namespace thaw::image;

namespace {

std::unique_ptr<LayerStore> open_store(const TempFolder& folder) {
  auto store = LayerStore::open(folder / "layers", folder / "bases");
  REQUIRE_MESSAGE(store, (store ? "" : store.error().to_string()));
  return std::move(*store);
}

const std::string key = "0123456789abcdef0123456789abcdef01234567";

std::string commit(LayerStore& store, LayerStore::Reuse reuse) {
  auto draft = store.draft();
  REQUIRE(draft);
  write_file(draft->folder() + "/upper/file", "text");
  const auto layer = store.commit_layer(*draft, "upper", key, "{}\n", reuse);
  REQUIRE_MESSAGE(layer, (layer ? "" : layer.error().to_string()));
  return *layer;
}

}  // namespace

TEST_CASE("a committed layer is there with its record, a draft is not") {
  TempFolder folder;
  auto store = open_store(folder);
  std::string draft_folder;
  {
    auto draft = store->draft();
    REQUIRE(draft);
    draft_folder = draft->folder();
    write_file(draft_folder + "/upper/file", "text");
  }
  CHECK(!os::exists(draft_folder));
  const std::string layer = commit(*store, LayerStore::Reuse::existing);
  CHECK(read_file(store->folder_of(layer) + "/file") == "text");
  CHECK(!store->find(key));
  ImageRecord record{{layer}, {}, "3.11"};
  record.config.env = {"A=\xff quote\" 1"};
  REQUIRE(store->put(key, record));
  const auto found = store->find(key);
  REQUIRE(found);
  CHECK(found->layers == record.layers);
  CHECK(found->python == "3.11");
}

TEST_CASE("no name beside the drafts leads out of their folder") {
  TempFolder folder;
  auto store = open_store(folder);
  const std::string layer = commit(*store, LayerStore::Reuse::existing);
  const std::string tmp = folder / "layers/tmp";
  for (const char* name : {".lock", "..lock", "...lock", "a\nb.lock"}) {
    write_file(tmp + "/" + name, "");
  }
  write_file(tmp + "/kept/file", "text");
  write_file(tmp + "/kept.lock", "");
  auto draft = store->draft();
  REQUIRE(draft);
  const auto second = open_store(folder);
  CHECK(os::exists(draft->folder()));
  CHECK(os::exists(tmp + "/kept/file"));
  CHECK(os::exists(store->folder_of(layer)));
}

TEST_CASE("a record whose layer is gone, or that is damaged, is no record") {
  TempFolder folder;
  auto store = open_store(folder);
  REQUIRE(store->put(key, {{commit(*store, LayerStore::Reuse::existing)}, {}, ""}));
  REQUIRE(store->find(key));
  std::filesystem::remove_all(folder / "layers/" + key);
  CHECK(!store->find(key));
  for (const char* text : {"", "{", "[]", "{\"format\":2}", "{\"format\":1,\"layers\":7}",
                           // NOLINTNEXTLINE(bugprone-suspicious-missing-comma): one text
                           "{\"format\":1,\"layers\":[\"layer:../../etc\"],\"python\":\"\","
                           "\"config\":{\"env\":[],\"workdir\":\"\",\"user\":\"\","
                           "\"entrypoint\":[],\"cmd\":[],\"shell\":[]}}"}) {
    CAPTURE(text);
    write_file(folder / "layers/images/" + key + ".json", text);
    CHECK(!store->find(key));
  }
}

TEST_CASE("a record keeps the stop signal, and one from before there was any is read") {
  ImageRecord record{{"layer:x"}, {}, ""};
  record.config.stop_signal = 3;
  const std::string text = write_record(record);
  REQUIRE(read_record(text));
  CHECK(read_record(text)->config.stop_signal == 3);
  const std::string field = "\"stop_signal\"";
  const auto at = text.find(field);
  REQUIRE(at != std::string::npos);
  const auto value = text.find('3', at);
  std::string older = text;
  older.replace(at, field.size(), "\"something\"");
  REQUIRE(read_record(older));
  CHECK(read_record(older)->config.stop_signal == 0);
  std::string odd = text;
  odd.replace(value, 1, "1e300");
  CHECK(!read_record(odd));
}

TEST_CASE("a layer that is there is reused, or a second one stands beside it") {
  TempFolder folder;
  auto store = open_store(folder);
  const std::string first = commit(*store, LayerStore::Reuse::existing);
  CHECK(commit(*store, LayerStore::Reuse::existing) == first);
  const std::string second = commit(*store, LayerStore::Reuse::never);
  CHECK(second != first);
  CHECK(os::exists(store->folder_of(first)));
  CHECK(os::exists(store->folder_of(second)));
}

TEST_CASE("a key is locked by one holder at a time, across stores") {
  TempFolder folder;
  auto one = open_store(folder);
  auto two = open_store(folder);
  {
    const auto held = one->try_lock(key);
    REQUIRE(held);
    REQUIRE(*held);
    const auto refused = two->try_lock(key);
    REQUIRE(refused);
    CHECK(!*refused);
  }
  const auto free = two->try_lock(key);
  REQUIRE(free);
  CHECK(*free);
}

TEST_CASE("what a killed server was building is removed by the next, half layers never show") {
  TempFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    auto store = LayerStore::open(folder / "layers", folder / "bases");
    auto draft = (*store)->draft();
    std::filesystem::create_directories(draft->folder() + "/upper");
    std::ofstream(draft->folder() + "/upper/half") << "written";
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  bool is_left = false;
  for (const auto& item : std::filesystem::recursive_directory_iterator(folder.path)) {
    is_left = is_left || item.path().filename() == "half";
  }
  CHECK(is_left);
  auto living = open_store(folder);
  auto draft = living->draft();
  REQUIRE(draft);
  for (const auto& item : std::filesystem::recursive_directory_iterator(folder.path)) {
    CHECK(item.path().filename() != "half");
  }
  // Another server's drafts are left alone.
  auto other = open_store(folder);
  CHECK(os::exists(draft->folder()));
}
