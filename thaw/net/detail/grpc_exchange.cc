// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream.h>

#include <algorithm>
#include <array>

#include "thaw/base/check.h"
#include "thaw/codec/encoding.h"
#include "thaw/net/detail/grpc_wire.h"
#include "thaw/net/detail/http2_exchange.h"

namespace thaw::net::detail {

namespace {

// Messages up to this size are serialised into one string; larger ones are lent to the stream field
// by field, so that a message that waits for its reader exists only once.
constexpr std::size_t small_message = 16u << 10;

nghttp2_nv constant(std::string_view name, std::string_view value) {
  return {reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(),
          value.size(), NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

bool is_binary(std::string_view name) { return name.ends_with("-bin"); }

// Serialises into blocks of its own and points to large fields where they lie in the message.
class LendingOutput : public google::protobuf::io::ZeroCopyOutputStream {
 public:
  explicit LendingOutput(std::string_view first) { pieces_.push_back(first); }

  bool Next(void** data, int* size) override {
    constexpr int block_bytes = 4 << 10;
    blocks_.push_back(std::make_unique<char[]>(block_bytes));
    *data = blocks_.back().get();
    *size = block_bytes;
    pieces_.emplace_back(blocks_.back().get(), block_bytes);
    count_ += block_bytes;
    return true;
  }
  void BackUp(int count) override {
    pieces_.back().remove_suffix(static_cast<std::size_t>(count));
    count_ -= count;
  }
  std::int64_t ByteCount() const override { return count_; }
  bool AllowsAliasing() const override { return true; }
  bool WriteAliasedRaw(const void* data, int size) override {
    pieces_.emplace_back(static_cast<const char*>(data), static_cast<std::size_t>(size));
    count_ += size;
    return true;
  }

  const std::vector<std::string_view>& pieces() const { return pieces_; }

 private:
  std::vector<std::unique_ptr<char[]>> blocks_;
  std::vector<std::string_view> pieces_;
  std::int64_t count_ = 0;
};

class GrpcExchange : public GrpcCall, public GrpcStream {
 public:
  GrpcExchange(Http2Session& session, Http2Stream& stream) : session_(session), stream_(stream) {
    for (auto& [name, value] : stream_.request().headers.fields) {
      if (is_binary(name)) {
        std::string padded = value;
        padded.append((4 - padded.size() % 4) % 4, '=');
        if (auto decoded = codec::base64_decode(padded)) {
          value = std::move(*decoded);
        }
      }
    }
  }

  ~GrpcExchange() override { session_.release_reply(reserved_); }

  const std::string& path() const override { return stream_.request().target; }
  const Headers& metadata() const override { return stream_.request().headers; }
  const Peer& peer() const override { return session_.peer(); }
  const std::string& authority() const override { return stream_.request().authority; }
  Instant deadline() const override { return stream_.deadline; }
  void add_trailer(std::string name, std::string value) override {
    if (is_binary(name)) {
      value = codec::base64_encode(value);
    }
    trailers_.add(std::move(name), std::move(value));
  }

  async::Task<void> reserve_reply(std::size_t bytes) override {
    THAW_CO_TRY_VOID(co_await session_.reserve_reply(bytes));
    reserved_ += bytes;
    co_return co_await stream_.reserve_reply(bytes);
  }

  async::Task<std::optional<std::string>> read_message() override {
    return stream_.read_message(session_.core().limits.grpc_message_bytes);
  }

  async::Task<void> write_message(const google::protobuf::MessageLite& message) override {
    const std::size_t size = message.ByteSizeLong();
    if (size > session_.core().limits.grpc_message_bytes) {
      co_return Error::resource_exhausted(
          "the reply has " + std::to_string(size) + " bytes; at most " +
          std::to_string(session_.core().limits.grpc_message_bytes) + " are sent");
    }
    send_head();
    const auto prefix = grpc_prefix(size);
    const std::string_view prefix_bytes(prefix.data(), prefix.size());
    if (size <= small_message) {
      if (char* room = stream_.try_send(prefix.size() + size)) {
        std::copy(prefix.begin(), prefix.end(), room);
        message.SerializeWithCachedSizesToArray(
            reinterpret_cast<std::uint8_t*>(room + prefix.size()));
        co_return ok();
      }
      std::string whole(prefix_bytes);
      whole.resize(prefix.size() + size);
      message.SerializeWithCachedSizesToArray(
          reinterpret_cast<std::uint8_t*>(whole.data() + prefix.size()));
      std::vector<std::string_view> pieces{whole};
      co_return co_await stream_.send(std::move(pieces));
    }
    LendingOutput output(prefix_bytes);
    {
      google::protobuf::io::CodedOutputStream coded(&output);
      coded.EnableAliasing(true);
      message.SerializeWithCachedSizes(&coded);
    }
    THAW_CHECK(output.ByteCount() == static_cast<std::int64_t>(size));
    co_return co_await stream_.send(output.pieces());
  }

  async::Task<void> run() {
    const GrpcTable& table = *session_.service().table;
    if (stream_.header_overflow) {
      co_return Error::resource_exhausted("the headers are larger than " +
                                          std::to_string(session_.core().limits.header_bytes) +
                                          " bytes");
    }
    if (const auto& refusal = stream_.refusal()) {
      co_return *refusal;
    }
    if (table.before) {
      THAW_CO_TRY_VOID(co_await table.before(*this));
    }
    const GrpcTable::Method* method = table.find(path());
    if (method == nullptr) {
      co_return table.unknown ? table.unknown(path())
                              : Error::unimplemented("no such method: " + path());
    }
    co_return co_await (*method)(*this, *this);
  }

  // Ends the call with this status, unless it has ended.
  void finish(Code code, std::string_view message) {
    if (stream_.ended() || stream_.gone()) {
      return;
    }
    Headers status;
    status.add("grpc-status", std::to_string(static_cast<int>(code)));
    if (!message.empty()) {
      status.add("grpc-message", encode_grpc_message(message));
    }
    if (code == Code::unimplemented) {
      status.add("grpc-accept-encoding", "identity");
    }
    for (auto& field : trailers_.fields) {
      status.fields.push_back(std::move(field));
    }
    if (!stream_.head_sent()) {
      // Trailers-only: one header block is the whole answer.
      status.fields.emplace(status.fields.begin(), "content-type", "application/grpc");
      stream_.send_head(200, status, Http2Stream::Body::none);
    } else {
      stream_.send_end(std::move(status));
    }
  }

 private:
  void send_head() {
    if (!stream_.head_sent()) {
      static const nghttp2_nv head[] = {constant(":status", "200"),
                                        constant("content-type", "application/grpc")};
      stream_.send_fields(head, Http2Stream::Body::follows);
    }
  }

  Http2Session& session_;
  Http2Stream& stream_;
  Headers trailers_;
  std::size_t reserved_ = 0;
};

}  // namespace

async::Task<void> serve_grpc(Http2Session& session, std::shared_ptr<Http2Stream> stream) {
  GrpcExchange exchange(session, *stream);
  const HttpRequest& request = stream->request();
  if (request.method != "POST") {
    Headers none;
    stream->send_head(405, none, Http2Stream::Body::none);
    co_return ok();
  }
  if (const auto timeout = request.headers.find("grpc-timeout")) {
    const auto duration = parse_grpc_timeout(*timeout);
    if (!duration) {
      exchange.finish(Code::invalid_argument, "grpc-timeout is malformed");
      co_return ok();
    }
    stream->deadline = monotonic_now() + *duration;
    stream->deadline_alarm.ring = [&exchange, raw = stream.get()] {
      exchange.finish(Code::deadline_exceeded, "the call took longer than its grpc-timeout");
      raw->task.cancel();
    };
    session.core().timer.arm(stream->deadline_alarm, stream->deadline);
  }
  const Result<void> outcome = co_await exchange.run();
  stream->deadline_alarm.disarm();
  if (outcome) {
    exchange.finish(Code::ok, {});
  } else {
    const GrpcTable& table = *session.service().table;
    exchange.finish(outcome.error().code(),
                    table.told ? table.told(outcome.error()) : outcome.error().message());
  }
  stream->linger();
  co_return ok();
}

}  // namespace thaw::net::detail
