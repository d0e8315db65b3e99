// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/push_transfer.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <utility>

#include "thaw/async/task_group.h"
#include "thaw/cli/answer_lines.h"
#include "thaw/cli/table.h"

namespace thaw::cli {

namespace {

// A build may fetch whatever it likes, and a large file may go to a slow disk.
constexpr Duration build_limit = std::chrono::hours(6);
constexpr Duration upload_limit = std::chrono::hours(1);
// Each waits for the server's disk; several at once wait less.
constexpr int uploads_at_once = 8;
constexpr Duration between_lines = 100ms;

struct Upload {
  const FolderFile* file = nullptr;
  std::string part;
  std::string completion;
};

// What is said on a terminal while files are on their way, in one line.
class Progress {
 public:
  Progress(std::size_t files, std::uint64_t bytes)
      : files_(files), bytes_(bytes), shown_(::isatty(STDERR_FILENO) != 0) {}
  void add(std::size_t bytes) {
    sent_bytes_ += bytes;
    if (monotonic_now() - shown_at_ >= between_lines) {
      show("");
    }
  }
  void add_file() {
    ++sent_files_;
    if (sent_files_ == files_) {
      show("\n");
    }
  }

 private:
  void show(const char* end) {
    shown_at_ = monotonic_now();
    if (shown_) {
      std::fprintf(stderr, "\rthaw: sent %zu of %zu files, %s of %s%s", sent_files_, files_,
                   short_bytes(static_cast<double>(sent_bytes_)).c_str(),
                   short_bytes(static_cast<double>(bytes_)).c_str(), end);
    }
  }

  std::size_t files_;
  std::uint64_t bytes_;
  bool shown_;
  Instant shown_at_{};
  std::size_t sent_files_ = 0;
  std::uint64_t sent_bytes_ = 0;
};

// The files that are on their way, several at once.
struct UploadQueue {
  ServerClient& client;
  Progress& progress;
  std::vector<Upload> uploads;
  std::size_t next = 0;
  std::optional<Error> error;  // the first; nothing is begun after it
};

async::Task<void> upload(ServerClient& client, const Upload& item, Progress& progress) {
  SentFile file(*item.file);
  net::ClientRequest part;
  part.method = "PUT";
  part.body_bytes = item.file->size;
  part.next_piece = [&file, &progress]() -> Result<std::string> {
    THAW_TRY(std::string piece, file.next());
    progress.add(piece.size());
    return piece;
  };
  THAW_CO_TRY(const std::unique_ptr<net::ClientResponse> put,
              co_await client.send_to(item.part, std::move(part), upload_limit));
  THAW_CO_TRY_VOID(co_await check_success(*put));
  THAW_CO_TRY([[maybe_unused]] const std::string tag, co_await put->read_all(1u << 20));
  net::ClientRequest completion;
  completion.method = "POST";
  THAW_CO_TRY(const std::unique_ptr<net::ClientResponse> done,
              co_await client.send_to(item.completion, std::move(completion), upload_limit));
  THAW_CO_TRY_VOID(co_await check_success(*done));
  THAW_CO_TRY([[maybe_unused]] const std::string end, co_await done->read_all(1u << 20));
  co_return ok();
}

async::Task<void> upload_next(UploadQueue& queue) {
  while (!queue.error && queue.next < queue.uploads.size()) {
    const Upload& item = queue.uploads[queue.next++];  // tidy(held): the list is made before
    const Result<void> sent = co_await upload(queue.client, item, queue.progress);
    if (sent) {
      queue.progress.add_file();
    } else if (!queue.error) {
      queue.error = Error(sent.error().code(),
                          "cannot send " + item.file->source + ": " + sent.error().to_string());
    }
  }
  co_return ok();
}

async::Task<void> upload_all(UploadQueue& queue) {
  async::TaskGroup tasks(queue.client.loop());
  for (int i = 0; i < uploads_at_once; ++i) {
    tasks.start("upload", upload_next(queue));
  }
  THAW_CO_TRY([[maybe_unused]] const bool ended,
              co_await tasks.join(monotonic_now() + build_limit));
  THAW_CO_TRY_VOID(co_await tasks.stop());
  co_return queue.error ? Result<void>(*queue.error) : ok();
}

// What of the files the server does not have.
async::Task<std::vector<Upload>> find_missing(ServerClient& client,
                                              const std::vector<FolderFile>& files) {
  std::map<std::string, const FolderFile*> by_digest;
  codec::Json asked = codec::Json::array();
  for (const FolderFile& file : files) {
    if (by_digest.emplace(file.sha256, &file).second) {
      asked.push_back({{"sha256", file.sha256}, {"size", file.size}});
    }
  }
  std::vector<Upload> uploads;
  if (asked.empty()) {
    co_return uploads;
  }
  AdminRequest request;
  request.method = "POST";
  request.target = "/api/v1/uploads";
  request.body = codec::dump_json({{"files", std::move(asked)}});
  THAW_CO_TRY(const codec::Json answer, co_await client.ask(std::move(request), 60s));
  if (!answer.is_object() || !answer.contains("missing") || !answer["missing"].is_array()) {
    co_return Error::unavailable("the server did not say which files it lacks");
  }
  for (const codec::Json& missing : answer["missing"]) {
    const auto file = by_digest.find(missing.value("sha256", ""));
    if (file == by_digest.end()) {
      co_return Error::unavailable("the server asks for a file that the folder does not have");
    }
    uploads.push_back({file->second, missing.value("part", ""), missing.value("completion", "")});
  }
  co_return uploads;
}

}  // namespace

async::Task<void> send_files(ServerClient& client, const std::vector<FolderFile>& files) {
  THAW_CO_TRY(std::vector<Upload> missing, co_await find_missing(client, files));
  std::uint64_t bytes = 0;
  for (const Upload& item : missing) {
    bytes += item.file->size;
  }
  Progress progress(missing.size(), bytes);
  UploadQueue queue{client, progress, std::move(missing), 0, std::nullopt};
  co_return co_await upload_all(queue);
}

async::Task<codec::Json> publish(ServerClient& client, std::string definition, BuildOutput output) {
  net::ClientRequest request;
  request.method = "POST";
  request.target = "/api/v1/functions";
  request.headers.add("content-type", "application/json");
  request.body = std::move(definition);
  THAW_CO_TRY(const std::unique_ptr<net::ClientResponse> response,
              co_await client.send(std::move(request), build_limit));
  THAW_CO_TRY_VOID(co_await check_success(*response));
  AnswerLines lines(*response);
  while (true) {
    THAW_CO_TRY(const std::optional<std::string> line, co_await lines.next());
    if (!line) {
      co_return Error::unavailable(
          "the server broke off before it had published; `thaw function list` tells what is there");
    }
    THAW_CO_TRY(const codec::Json said, codec::parse_json(*line));
    if (said.is_object() && said.contains("function")) {
      co_return said["function"];
    }
    if (said.is_object() && said.contains("error")) {
      co_return Error::failed_precondition(said.value("error", ""));
    }
    if (said.is_object()) {
      output(said.value("log", ""));
    }
  }
}

}  // namespace thaw::cli
