// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/http2_call.h"

#include <algorithm>
#include <cstring>

#include "thaw/net/detail/http2_client.h"
#include "thaw/net/detail/http2_fields.h"

namespace thaw::net::detail {

namespace {

constexpr std::size_t piece_bytes = 64u << 10;
// Unsent bytes at which a writer starts to wait.
constexpr std::size_t unsent_limit = 64u << 10;

}  // namespace

Http2Call::Http2Call(std::shared_ptr<Http2Client> client) : client_(std::move(client)) {}

Http2Call::~Http2Call() {
  cancel();
  client_->forget(*this);
}

void Http2Call::wake() { changed_.notify_all(); }

async::Task<void> Http2Call::wait() {
  THAW_CO_TRY([[maybe_unused]] const bool notified, co_await changed_.wait(Instant::max()));
  co_return ok();
}

void Http2Call::queue(std::string data) {
  if (closed_ || ended_) {
    return;
  }
  if (unsent() == 0) {
    queue_ = std::move(data);
    queue_begin_ = 0;
  } else {
    queue_ += data;
  }
  client_->resume(*this);
}

async::Task<void> Http2Call::write(std::string data) {
  queue(std::move(data));
  while (!closed_ && unsent() > unsent_limit) {
    THAW_CO_TRY_VOID(co_await wait());
  }
  if (closed_) {
    co_return error_.value_or(Error::cancelled("the server takes no more of this request"));
  }
  co_return ok();
}

void Http2Call::end(Headers trailers_to_send) {
  if (!ended_ && !closed_) {
    ended_ = true;
    request_trailers_ = std::move(trailers_to_send);
    client_->resume(*this);
  }
}

async::Task<void> Http2Call::until_head() {
  while (!head_done_) {
    if (error_) {
      co_return *error_;
    }
    if (closed_) {
      co_return Error::unavailable("the server ended the exchange without an answer");
    }
    THAW_CO_TRY_VOID(co_await wait());
  }
  co_return ok();
}

async::Task<std::optional<std::string>> Http2Call::read() {
  while (inbox_.empty()) {
    if (remote_ended_) {
      co_return std::nullopt;
    }
    if (error_) {
      co_return *error_;
    }
    if (closed_) {
      co_return Error::unavailable("the server broke its answer off");
    }
    THAW_CO_TRY_VOID(co_await wait());
  }
  std::optional<std::string> piece(inbox_.take(piece_bytes));
  consume(piece->size());
  co_return piece;
}

void Http2Call::cancel() {
  if (!closed_) {
    client_->reset(*this, NGHTTP2_CANCEL);
    fail(Error::cancelled("the request was given up"));
  }
}

void Http2Call::fail(Error why) {
  if (!error_) {
    error_ = std::move(why);
  }
  closed_ = true;
  deadline_alarm_.disarm();
  consume(unconsumed_);
  wake();
}

void Http2Call::consume(std::size_t count) {
  count = std::min(count, unconsumed_);
  unconsumed_ -= count;
  client_->took(*this, count);
}

void Http2Call::on_bytes(std::string_view bytes) {
  unconsumed_ += bytes.size();
  begun_ = true;
  inbox_.append(bytes);
  wake();
}

void Http2Call::on_close(std::uint32_t http2_error) {
  if (remote_ended_) {
    // A server that has answered may want no more of the request, and says so by any code.
    closed_ = true;
    deadline_alarm_.disarm();
    return wake();
  }
  refused_ = refused_ || http2_error == NGHTTP2_REFUSED_STREAM;
  fail(Error::unavailable(std::string("the server broke the exchange off: HTTP/2 error ") +
                          nghttp2_http2_strerror(http2_error)));
}

ssize_t Http2Call::take(nghttp2_session* session, std::uint8_t* out, std::size_t most,
                        std::uint32_t* flags) {
  const std::size_t count = std::min(unsent(), most);
  if (count == 0 && !ended_) {
    sending_deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  std::memcpy(out, queue_.data() + queue_begin_, count);
  queue_begin_ += count;
  if (unsent() == 0) {
    queue_ = std::string();
    queue_begin_ = 0;
  }
  if (unsent() <= unsent_limit) {
    wake();
  }
  if (ended_ && unsent() == 0) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!request_trailers_.fields.empty()) {
      const auto fields = http2_fields(request_trailers_);
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      if (nghttp2_submit_trailer(session, id_, fields.data(), fields.size()) != 0) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
      }
    }
  }
  return static_cast<ssize_t>(count);
}

}  // namespace thaw::net::detail
