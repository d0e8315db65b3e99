// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/files.h"

#include <algorithm>
#include <utility>

#include "thaw/codec/data_url.h"
#include "thaw/codec/encoding.h"
#include "thaw/codec/fields.h"
#include "thaw/codec/ids.h"
#include "thaw/codec/multipart.h"
#include "thaw/codec/utf8.h"
#include "thaw/dialect/replicate/answers.h"
#include "thaw/dialect/replicate/prediction.h"
#include "thaw/net/body_length.h"

namespace thaw::dialect::replicate {

using async::Task;
using codec::Json;

namespace {

constexpr std::size_t most_metadata_bytes = 16u << 10;
constexpr std::size_t longest_name = 255;
constexpr std::size_t largest_input_file = 256u << 10;  // that stays in its input
constexpr std::size_t piece_bytes = 256u << 10;
constexpr std::size_t sha_digits = 64;

model::DocumentPlace place_of(const model::WorkspaceId& workspace) {
  return {workspace, dialect_name, "file"};
}

struct StoredFile {
  std::string content_type;
  std::string sha256_hex;
  std::string md5_hex;
  std::uint64_t size = 0;
  std::string file_name;
  model::TokenId by;  // whose upload it is; empty: of no token
  Json metadata = Json::object();
};

StoredFile read_file(const model::Document& document) {
  StoredFile file;
  const auto json = codec::parse_json(document.text);
  if (!json) {
    return file;
  }
  codec::Fields fields(*json);
  fields.read("content_type", file.content_type);
  fields.read("sha256", file.sha256_hex);
  fields.read("md5", file.md5_hex);
  fields.read("size", file.size);
  fields.read("name", file.file_name);
  fields.read("by", file.by);
  file.metadata = fields.object("metadata");
  return file;
}

std::string write_file(const StoredFile& file) {
  return codec::dump_json({{"content_type", file.content_type},
                           {"sha256", file.sha256_hex},
                           {"md5", file.md5_hex},
                           {"size", file.size},
                           {"name", file.file_name},
                           {"by", file.by},
                           {"metadata", file.metadata}});
}

Json json_of(const model::Document& document, const std::string& base) {
  const StoredFile file = read_file(document);
  const std::string own = base + "/files/" + document.name;
  return {{"id", document.name},
          {"name", file.file_name},
          {"content_type", file.content_type},
          {"size", file.size},
          {"etag", file.md5_hex},
          {"checksums", {{"sha256", file.sha256_hex}, {"md5", file.md5_hex}}},
          {"metadata", file.metadata},
          {"created_at", time_text(document.created_at)},
          {"expires_at", document.expires_at ? Json(time_text(*document.expires_at)) : Json()},
          {"urls", {{"get", own}, {"download", own + "/download"}}}};
}

// What stands in an address or a header without an escape.
std::string plain_word(std::string_view text, std::string_view other) {
  std::string word;
  for (const char c : text.substr(0, longest_name)) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    word += is_plain || other.find(c) != std::string_view::npos ? c : '_';
  }
  return word.empty() || word.front() == '.' ? "file" + word : word;
}

// A whole upload: the file becomes a blob as it comes.
class Upload {
 public:
  Upload(Context& cx, model::WorkspaceId workspace) : cx_(cx), workspace_(std::move(workspace)) {}

  Task<void> take(codec::PartEvent event) {
    switch (event.kind) {
      case codec::PartEvent::Kind::begin:
        head_ = std::move(event.head);
        if (head_.name == "content" && !has_file_) {
          file_.file_name = codec::valid_utf8(head_.file_name.substr(0, longest_name));
          file_.content_type = codec::valid_utf8(head_.content_type.substr(0, longest_name));
          THAW_CO_TRY(writer_, cx_.owners.blobs.create(workspace_.str()));
        }
        co_return ok();
      case codec::PartEvent::Kind::bytes: co_return co_await take_bytes(std::move(event.bytes));
      case codec::PartEvent::Kind::end: break;
    }
    if (!writer_) {
      co_return ok();
    }
    THAW_CO_TRY(const store::StoredBlob blob, co_await writer_->finish(""));
    writer_.reset();
    has_file_ = true;
    file_.sha256_hex = blob.sha256_hex;
    file_.md5_hex = blob.md5_hex;
    file_.size = blob.size;
    co_return ok();
  }

  Result<StoredFile> result() && {
    if (!has_file_) {
      return Error::invalid_argument("content: the form has no file of that name");
    }
    if (!metadata_.empty()) {
      auto json = codec::parse_json(metadata_);
      if (!json || !json->is_object()) {
        return Error::invalid_argument("metadata: has to be a JSON object");
      }
      file_.metadata = std::move(*json);
    }
    if (file_.file_name.empty()) {
      file_.file_name = "file";
    }
    if (file_.content_type.empty() || file_.content_type == "application/octet-stream") {
      file_.content_type = codec::type_of(file_.file_name);
    }
    return std::move(file_);
  }

 private:
  Task<void> take_bytes(std::string bytes) {
    if (writer_) {
      co_return co_await writer_->write(std::move(bytes));
    }
    std::string* const text = head_.name == "metadata"   ? &metadata_
                              : head_.name == "filename" ? &file_.file_name
                              : head_.name == "type"     ? &file_.content_type
                                                         : nullptr;
    if (text != nullptr) {
      *text += bytes;
      if (text->size() > most_metadata_bytes) {
        co_return Error::out_of_range(head_.name + ": has at most " +
                                      std::to_string(most_metadata_bytes) + " bytes");
      }
    }
    co_return ok();
  }

  Context& cx_;
  model::WorkspaceId workspace_;
  codec::PartHead head_;
  StoredFile file_;
  std::string metadata_;
  bool has_file_ = false;
  std::unique_ptr<store::BlobStore::Writer> writer_;
};

Task<StoredFile> receive(Context& cx, model::WorkspaceId workspace, net::HttpExchange& exchange) {
  const std::uint64_t most = cx.options.most_file_bytes;
  THAW_CO_TRY_VOID(net::check_body_length(exchange.request(), most));
  const auto type = exchange.request().headers.find("content-type").value_or("");
  THAW_CO_TRY(codec::MultipartReader reader, codec::MultipartReader::of_type(type));
  Upload upload(cx, std::move(workspace));
  std::uint64_t received = 0;
  while (true) {
    THAW_CO_TRY(const std::optional<std::string> piece, co_await exchange.read());
    if (!piece) {
      break;
    }
    received += piece->size();
    if (received > most) {
      co_return net::body_too_large(most);
    }
    THAW_CO_TRY(std::vector<codec::PartEvent> events, reader.take(*piece));
    for (codec::PartEvent& event : events) {
      THAW_CO_TRY_VOID(co_await upload.take(std::move(event)));
    }
  }
  if (!reader.is_done()) {
    co_return Error::failed_precondition("the body ends before its last part");
  }
  co_return std::move(upload).result();
}

Task<void> send_blob(Context& cx, net::HttpExchange& exchange, std::string owner,
                     std::string sha256_hex, std::string content_type) {
  THAW_CO_TRY(const auto reader, cx.owners.blobs.open_reader(owner, sha256_hex));
  net::Headers headers;
  headers.add("content-type", content_type.empty() ? "application/octet-stream" : content_type);
  headers.add("content-length", std::to_string(reader->size()));
  headers.add("x-content-type-options", "nosniff");
  headers.add("content-security-policy", "sandbox");
  THAW_CO_TRY_VOID(co_await exchange.respond(200, std::move(headers)));
  while (exchange.request().method != "HEAD") {
    THAW_CO_TRY(std::string piece, co_await reader->read(piece_bytes));
    if (piece.empty()) {
      break;
    }
    THAW_CO_TRY_VOID(co_await exchange.write(std::move(piece)));
  }
  co_return co_await exchange.finish();
}

Error no_such_file(const std::string& id) {
  return Error::not_found("no file '" + id.substr(0, 100) + "' is here; files are kept for a day");
}

Result<std::shared_ptr<const model::Document>> find_file(const Context& cx,
                                                         const gateway::Identity& who,
                                                         const std::string& id) {
  if (auto found = cx.owners.documents.find(place_of(who.workspace), id)) {
    return found;
  }
  return no_such_file(id);
}

// The id in an address of a file of this API, whatever its host; empty: it is none.
std::string file_id_in(std::string_view url) {
  if (!url.starts_with("http://") && !url.starts_with("https://")) {
    return {};
  }
  const std::string mark = std::string(api_prefix) + "/files/";
  const std::size_t host = url.find("://") + 3;
  const std::size_t path = std::min(url.find('/', host), url.size());
  if (!url.substr(path).starts_with(mark)) {
    return {};
  }
  const std::string_view id = url.substr(path + mark.size());
  return std::string(id.substr(0, id.find_first_of("/?#")));
}

template <class Visit>
Result<void> each_text(Json& value, const Visit& visit, int depth = 0) {
  if (value.is_string()) {
    return visit(value.get_ref<std::string&>());
  }
  if (value.is_structured() && depth < 16) {
    for (Json& part : value) {
      THAW_TRY_VOID(each_text(part, visit, depth + 1));
    }
  }
  return ok();
}

}  // namespace

Task<void> serve_new_file(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  THAW_CO_TRY(StoredFile file, co_await receive(cx, who.workspace, exchange));
  file.by = who.token;
  model::Document document;
  document.place = place_of(who.workspace);
  document.name = codec::random_lower(26);
  document.blobs = {file.sha256_hex};
  document.text = write_file(file);
  document.created_at = wall_now();
  document.expires_at = document.created_at + std::chrono::duration_cast<std::chrono::microseconds>(
                                                  cx.options.keep_files);
  THAW_CO_TRY(const auto stored, co_await cx.owners.documents.put(std::move(document)));
  co_return co_await answer_json(exchange, 201, json_of(*stored, base_of(cx, exchange.request())));
}

Task<void> serve_files(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  const auto files = cx.owners.documents.list(place_of(who.workspace));
  const std::string base = base_of(cx, exchange.request());
  co_return co_await answer_page(exchange, base + "/files", files.size(),
                                 [&](std::size_t i) { return json_of(*files[i], base); });
}

Task<void> serve_file(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                      std::string id) {
  THAW_CO_TRY(const auto found, find_file(cx, who, id));
  if (exchange.request().method == "DELETE") {
    THAW_CO_TRY_VOID(co_await cx.owners.documents.erase(*found));
    co_return co_await answer_nothing(exchange);
  }
  co_return co_await answer_json(exchange, 200, json_of(*found, base_of(cx, exchange.request())));
}

Task<void> serve_file_bytes(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                            std::string id) {
  THAW_CO_TRY(const auto found, find_file(cx, who, id));
  StoredFile file = read_file(*found);
  co_return co_await send_blob(cx, exchange, who.workspace.str(), std::move(file.sha256_hex),
                               plain_word(file.content_type, "/;=+ "));
}

std::string signed_file_url(const Context& cx, const gateway::BaseUrl& base,
                            const model::WorkspaceId& workspace, const std::string& sha256_hex,
                            std::string_view content_type, std::string_view name) {
  return cx.file_urls.make(base, std::string(signed_files_prefix) + "/" + sha256_hex + "/" +
                                     plain_word(name, "") + "?for=" + workspace.str() +
                                     "&type=" + plain_word(content_type, "/"));
}

Task<void> serve_signed_file(Context& cx, net::HttpExchange& exchange) {
  const net::HttpRequest& request = exchange.request();
  if (!cx.file_urls.is_genuine(request.target) ||
      gateway::SignedUrls::has_expired(request.target)) {
    co_return co_await answer_problem(
        exchange, Error::permission_denied("the address is not signed, or its time is over"));
  }
  if (request.method != "GET" && request.method != "HEAD") {
    co_return co_await answer_problem(exchange,
                                      Error::unimplemented("files are read, and nothing else"));
  }
  std::string_view path = request.path().substr(std::string_view(signed_files_prefix).size() + 1);
  std::string owner = codec::query_value(request.query(), "for");
  std::string type = codec::query_value(request.query(), "type");
  const Result<void> sent = co_await send_blob(
      cx, exchange, std::move(owner), std::string(path.substr(0, sha_digits)), std::move(type));
  if (!sent && !exchange.responded() && sent.error().code() != Code::cancelled) {
    co_return co_await answer_problem(exchange, Error::not_found("the file is not kept any more"));
  }
  co_return sent;
}

void find_files(std::string_view payload, std::vector<std::string>& names) {
  const std::string in_address = std::string(signed_files_prefix) + "/";
  for (const std::string& mark : {in_address, std::string("\"sha256\":\"")}) {
    for (std::size_t at = payload.find(mark); at != std::string_view::npos;
         at = payload.find(mark, at + 1)) {
      const std::string_view name = payload.substr(at + mark.size(), sha_digits);
      if (name.size() == sha_digits &&
          name.find_first_not_of("0123456789abcdef") == std::string_view::npos) {
        names.emplace_back(name);
      }
    }
  }
}

Result<void> make_readable(const Context& cx, const gateway::Identity& who, Json& input) {
  return each_text(input, [&](std::string& text) -> Result<void> {
    const std::string id = file_id_in(text);
    if (id.empty()) {
      return ok();
    }
    THAW_TRY(const auto found, find_file(cx, who, id));
    const StoredFile file = read_file(*found);
    // A token for some functions reads no file but its own, and its function would read it for it.
    if (who.grants.is_narrow() && file.by != who.token) {
      return no_such_file(id);
    }
    text = signed_file_url(cx, cx.place.containers_base(), who.workspace, file.sha256_hex,
                           file.content_type, file.file_name);
    return ok();
  });
}

Task<void> put_input_files_aside(Context& cx, model::WorkspaceId workspace, Json& input) {
  std::vector<std::string*> large;
  (void)each_text(input, [&](std::string& text) -> Result<void> {
    if (text.size() > largest_input_file && text.starts_with("data:")) {
      large.push_back(&text);
    }
    return ok();
  });
  for (std::string* text : large) {
    const async::PoolShare share{cx.owners.pool, workspace.str()};
    auto decode = [url = std::move(*text)] {
      return Result<std::optional<codec::DataUrl>>(codec::read_data_url(url));
    };
    THAW_CO_TRY(std::optional<codec::DataUrl> file,
                co_await async::blocking(share, std::move(decode)));
    if (!file) {
      co_return Error::invalid_argument("input: a data: address of a file cannot be read");
    }
    THAW_CO_TRY(const store::StoredBlob blob,
                co_await cx.owners.blobs.put(workspace.str(), std::move(file->bytes)));
    *text = signed_file_url(cx, cx.place.containers_base(), workspace, blob.sha256_hex,
                            file->content_type,
                            "input" + std::string(codec::ending_of(file->content_type)));
  }
  co_return ok();
}

}  // namespace thaw::dialect::replicate
