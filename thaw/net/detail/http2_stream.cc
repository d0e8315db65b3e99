// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/http2_stream.h"

#include <algorithm>

#include "thaw/base/check.h"
#include "thaw/net/detail/http2_fields.h"
#include "thaw/net/detail/http2_session.h"

namespace thaw::net::detail {

namespace {

// What a stream may queue by copying while its connection has room; and when it has none, as long
// as nothing is queued yet: a stalled stream must not hold up the short answers beside it.
constexpr std::size_t roomy_allowance = 256u << 10;
constexpr std::size_t least_allowance = 64u << 10;
// What a stream costs beside its bytes: its head, its handler, and what nghttp2 keeps.
constexpr std::size_t stream_bytes = 8u << 10;
// A message up to this size comes through the window that every stream has.
constexpr std::size_t small_message = 64u << 10;
// A large message that has its room is not to wait for us at each round trip.
constexpr std::int32_t large_window = 4 << 20;
constexpr std::int32_t body_window = 1 << 20;
constexpr Duration linger_time = 10s;

}  // namespace

Http2Stream::Http2Stream(Http2Session& session, std::int32_t id, std::shared_ptr<Account> account)
    : session_(&session), id_(id), held_(std::move(account)) {
  held_.set(stream_bytes);
}

bool Http2Stream::admit(std::shared_ptr<Account> account) {
  if (account.get() != held_.account()) {
    held_.move_to(std::move(account));
  }
  recount();
  return held_.account()->has_room(0);
}

void Http2Stream::refuse(Error why) {
  if (!refusal_) {
    refusal_ = std::move(why);
    inbox_ = Inbox();
    consume(unconsumed_);
    recount();
    wake();
  }
}

void Http2Stream::recount() {
  held_.set(stream_bytes + header_bytes + std::max(inbox_.size(), message_reserved_) +
            std::max(unsent(), reply_reserved_));
}

async::Task<void> Http2Stream::reserve_reply(std::size_t bytes) {
  const auto account = held_.shared();
  THAW_CO_TRY_VOID(co_await account->reserve(bytes, deadline));
  account->release(bytes);
  reply_reserved_ += bytes;
  recount();
  co_return ok();
}

async::Task<void> Http2Stream::reserve_message(std::size_t bytes) {
  if (session_ == nullptr) {
    co_return gone_error();
  }
  const auto account = held_.shared();
  const std::size_t missing = bytes - std::min(bytes, inbox_.size());
  const Instant latest = std::min(deadline, monotonic_now() + session_->core().limits.room_timeout);
  THAW_CO_TRY_VOID(co_await account->reserve(missing, latest));
  account->release(missing);
  message_reserved_ = bytes;
  recount();
  open_window(large_window);
  co_return ok();
}

void Http2Stream::open_window(std::int32_t bytes) {
  if (session_ != nullptr && !closed_ && window_ < bytes) {
    window_ = bytes;
    nghttp2_session_set_local_window_size(session_->native(), NGHTTP2_FLAG_NONE, id_, bytes);
    session_->flush_soon();
  }
}

Error Http2Stream::gone_error() const {
  return Error::cancelled("the peer of this request has gone away");
}

void Http2Stream::wake() {
  if (changed_) {
    changed_->notify_all();
  }
}

async::Task<void> Http2Stream::wait() {
  if (!changed_) {
    changed_.emplace();
  }
  THAW_CO_TRY([[maybe_unused]] const bool notified, co_await changed_->wait(Instant::max()));
  co_return ok();
}

async::Task<void> Http2Stream::until_gone() {
  while (!closed_) {
    THAW_CO_TRY_VOID(co_await wait());
  }
  co_return ok();
}

void Http2Stream::consume(std::size_t count) {
  count = std::min(count, unconsumed_);
  unconsumed_ -= count;
  if (count > 0 && session_ != nullptr) {
    if (!closed_) {
      nghttp2_session_consume_stream(session_->native(), id_, count);
    }
    session_->count_unread(-static_cast<std::ptrdiff_t>(count), 0);
    session_->flush_soon();
  }
}

void Http2Stream::on_bytes(std::string_view bytes) {
  unconsumed_ += bytes.size();
  session_->count_unread(static_cast<std::ptrdiff_t>(bytes.size()), bytes.size());
  if (ended_ || refusal_) {
    // Nobody reads any more.
    consume(bytes.size());
    return;
  }
  if (inbox_.size() + bytes.size() > message_reserved_ &&
      !held_.account()->has_room(bytes.size())) {
    return refuse(held_.account()->exhausted("a body"));
  }
  inbox_.append(bytes);
  recount();
  if (wanted_ > 0) {
    // The waiting reader takes all of this; let the peer go on.
    consume(unconsumed_);
    if (inbox_.size() >= wanted_) {
      wake();
    }
  }
}

void Http2Stream::on_remote_end() {
  remote_ended = true;
  wake();
}

void Http2Stream::on_close() {
  closed_ = true;
  consume(unconsumed_);
  if (session_ != nullptr) {
    session_->count_unsent(-static_cast<std::ptrdiff_t>(unsent()));
  }
  queued_.clear();
  queued_begin_ = 0;
  lent_.clear();
  lent_begin_ = 0;
  lent_bytes_ = 0;
  recount();
  deadline_alarm.disarm();
  wake();
  task.cancel();
}

async::Task<std::optional<std::string>> Http2Stream::read(std::size_t most) {
  while (inbox_.empty()) {
    if (refusal_) {
      co_return *refusal_;
    }
    if (remote_ended) {
      co_return std::nullopt;
    }
    if (closed_) {
      co_return gone_error();
    }
    // It is read as fast as it comes.
    if (held_.account()->has_room(body_window)) {
      open_window(body_window);
    }
    wanted_ = 1;
    const auto waited = co_await wait();
    wanted_ = 0;
    if (!waited) {
      co_return waited.error();
    }
  }
  std::optional<std::string> piece(inbox_.take(most));
  consume(piece->size());
  recount();
  co_return piece;
}

async::Task<std::optional<std::string>> Http2Stream::read_message(std::size_t limit) {
  // The message before this one has done its work.
  message_reserved_ = 0;
  while (true) {
    if (refusal_) {
      co_return *refusal_;
    }
    THAW_CO_TRY(const std::optional<std::size_t> size, inbox_.message_size(limit));
    const std::size_t whole = grpc_prefix_bytes + size.value_or(0);
    if (size && inbox_.size() >= whole) {
      std::optional<std::string> message(inbox_.take_message(*size));
      consume(whole);
      recount();
      co_return message;
    }
    if (remote_ended) {
      if (inbox_.empty()) {
        co_return std::nullopt;
      }
      co_return Error::invalid_argument("the request ended inside a message");
    }
    if (closed_) {
      co_return gone_error();
    }
    if (size && whole > small_message && message_reserved_ < whole) {
      THAW_CO_TRY_VOID(co_await reserve_message(whole));
      continue;
    }
    if (size) {
      inbox_.expect_message(*size);
    }
    wanted_ = whole;
    consume(unconsumed_);
    const auto waited = co_await wait();
    wanted_ = 0;
    if (!waited) {
      co_return waited.error();
    }
  }
}

std::size_t Http2Stream::allowance() const {
  if (session_->has_room()) {
    return roomy_allowance;
  }
  return unsent() == 0 ? least_allowance : 0;
}

void Http2Stream::queue_changed() {
  if (sending_deferred) {
    sending_deferred = false;
    nghttp2_session_resume_data(session_->native(), id_);
  }
  session_->flush_soon();
}

// While it lives, the stream may point into memory of the writing task. If that ends early, what
// was lent is taken back, and the stream, now cut inside a message, with it.
class Http2Stream::Loan {
 public:
  explicit Loan(Http2Stream& stream) : stream_(stream) {}
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;
  ~Loan() {
    if (stream_.lent_bytes_ > 0) {
      if (stream_.session_ != nullptr) {
        stream_.session_->count_unsent(-static_cast<std::ptrdiff_t>(stream_.lent_bytes_));
      }
      stream_.lent_bytes_ = 0;
      stream_.lent_.clear();
      stream_.lent_begin_ = 0;
      stream_.reset(NGHTTP2_CANCEL);
    }
  }

 private:
  Http2Stream& stream_;
};

char* Http2Stream::try_send(std::size_t count) {
  if (closed_ || session_ == nullptr || ended_ || lent_bytes_ > 0 || count > least_allowance ||
      (unsent() > 0 && unsent() + count > allowance())) {
    return nullptr;
  }
  session_->count_unsent(static_cast<std::ptrdiff_t>(count));
  queued_.resize(queued_.size() + count);
  recount();
  queue_changed();
  return queued_.data() + queued_.size() - count;
}

async::Task<void> Http2Stream::send(std::vector<std::string_view> pieces) {
  std::size_t total = 0;
  for (const auto piece : pieces) {
    total += piece.size();
  }
  while (!closed_ && session_ != nullptr &&
         (lent_bytes_ > 0 || (unsent() > 0 && unsent() + total > allowance()))) {
    THAW_CO_TRY_VOID(co_await wait());
  }
  if (closed_ || session_ == nullptr || ended_) {
    co_return gone_error();
  }
  session_->count_unsent(static_cast<std::ptrdiff_t>(total));
  if (total <= least_allowance) {
    for (const auto piece : pieces) {
      queued_.append(piece);
    }
    recount();
    queue_changed();
    co_return ok();
  }
  THAW_CHECK(lent_bytes_ == 0);
  lent_ = std::move(pieces);
  lent_begin_ = 0;
  lent_bytes_ = total;
  recount();
  const Loan loan(*this);
  queue_changed();
  while (lent_bytes_ > 0) {
    THAW_CO_TRY_VOID(co_await wait());
  }
  if (closed_) {
    co_return gone_error();
  }
  co_return ok();
}

void Http2Stream::move_unsent(std::size_t count, std::string& out) {
  session_->count_unsent(-static_cast<std::ptrdiff_t>(count));
  const std::size_t queued = std::min(count, queued_.size() - queued_begin_);
  out.append(queued_, queued_begin_, queued);
  queued_begin_ += queued;
  if (queued_begin_ == queued_.size()) {
    queued_.clear();
    queued_begin_ = 0;
  }
  count -= queued;
  lent_bytes_ -= count;
  while (count > 0) {
    std::string_view& piece = lent_[lent_begin_];
    const std::size_t part = std::min(count, piece.size());
    out.append(piece.substr(0, part));
    piece.remove_prefix(part);
    count -= part;
    if (piece.empty()) {
      ++lent_begin_;
    }
  }
  if (unsent() == 0) {
    recount();
    wake();
  }
}

void Http2Stream::send_end(Headers last) {
  if (ended_) {
    return;
  }
  ended_ = true;
  trailers = std::move(last);
  if (session_ != nullptr && !closed_) {
    // What the peer still sends is dropped, and must not fill its window.
    inbox_ = Inbox();
    consume(unconsumed_);
    recount();
    queue_changed();
  }
}

void Http2Stream::break_off() {
  if (ended_) {
    return;
  }
  if (session_ == nullptr || closed_ || !head_sent_) {
    return reset(NGHTTP2_INTERNAL_ERROR);
  }
  broken_off_ = true;
  Headers none;
  send_end(std::move(none));
}

void Http2Stream::linger() {
  if (session_ == nullptr || closed_ || remote_ended) {
    return;
  }
  if (!held_.account()->has_room(0)) {
    return reset(NGHTTP2_NO_ERROR);
  }
  deadline_alarm.ring = [this] { reset(NGHTTP2_NO_ERROR); };
  session_->core().timer.arm(deadline_alarm, monotonic_now() + linger_time);
}

void Http2Stream::reset(std::uint32_t http2_error) {
  ended_ = true;
  if (session_ != nullptr && !closed_) {
    nghttp2_submit_rst_stream(session_->native(), NGHTTP2_FLAG_NONE, id_, http2_error);
    session_->flush_soon();
  }
}

namespace {

// nghttp2 asks for bytes of a stream; it learns how many, and takes them in `send_data`.
ssize_t read_source(nghttp2_session* session, std::int32_t id, std::uint8_t*, std::size_t length,
                    std::uint32_t* flags, nghttp2_data_source* source, void*) {
  auto& stream = *static_cast<Http2Stream*>(source->ptr);
  const std::size_t available = stream.unsent();
  if (available == 0 && !stream.ended()) {
    stream.sending_deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  const std::size_t count = std::min(available, length);
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (stream.broken_off() && available == 0) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // a reset with INTERNAL_ERROR
  }
  if (stream.ended() && !stream.broken_off() && count == available) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!stream.trailers.fields.empty()) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      const auto trailers = http2_fields(stream.trailers);
      if (nghttp2_submit_trailer(session, id, trailers.data(), trailers.size()) != 0) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
      }
    }
  }
  return static_cast<ssize_t>(count);
}

}  // namespace

void Http2Stream::send_continue() {
  if (session_ != nullptr && !closed_) {
    const nghttp2_nv status = http2_field(":status", "100");
    nghttp2_submit_headers(session_->native(), NGHTTP2_FLAG_NONE, id_, nullptr, &status, 1,
                           nullptr);
    session_->flush_soon();
  }
}

void Http2Stream::send_head(int status, const Headers& headers, Body body) {
  const std::string status_text = std::to_string(status);
  auto fields = http2_fields(headers);
  fields.insert(fields.begin(), http2_field(":status", status_text));
  send_fields(fields, body);
}

void Http2Stream::send_fields(std::span<const nghttp2_nv> fields, Body body) {
  if (session_ == nullptr || closed_ || head_sent_) {
    return;
  }
  head_sent_ = true;
  ended_ = ended_ || body == Body::none;
  nghttp2_data_provider provider{};
  provider.source.ptr = this;
  provider.read_callback = read_source;
  if (nghttp2_submit_response(session_->native(), id_, fields.data(), fields.size(),
                              body == Body::follows ? &provider : nullptr) != 0) {
    reset(NGHTTP2_INTERNAL_ERROR);
  }
  session_->flush_soon();
}

}  // namespace thaw::net::detail
