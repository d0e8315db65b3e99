// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/http2_client.h"

#include <sys/socket.h>

#include <array>
#include <boost/asio/post.hpp>
#include <cerrno>

#include "thaw/base/check.h"
#include "thaw/base/log.h"

namespace thaw::net::detail {

namespace asio = boost::asio;

namespace {

constexpr std::uint32_t stream_window = 256u << 10;
constexpr std::int32_t connection_window = 16 << 20;
// Of all calls together, unread; beyond it the connection's window closes as well.
constexpr std::ptrdiff_t most_unread = 8 << 20;
// A head of an answer, as the parser of HTTP/1.1 allows one.
constexpr std::size_t most_head_bytes = 128u << 10;
constexpr int most_head_frames = 64;
constexpr std::uint32_t header_table_bytes = 4096;
constexpr std::size_t read_bytes = 64u << 10;
constexpr int reads_per_turn = 16;
constexpr int writes_per_turn = 16;
// What is encoded ahead of the socket.
constexpr std::size_t out_bytes = 128u << 10;
constexpr std::int32_t last_stream = 1 << 30;
constexpr Duration idle_time = 30s;
constexpr std::size_t frame_head_bytes = 9;

constexpr std::string_view flood = "sent too many frames that carry nothing";

std::string_view text(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

int status_of(std::string_view digits) {
  int status = 0;
  for (const char c : digits) {
    status = status * 10 + (c - '0');
  }
  return status;
}

}  // namespace

// They only note what happened; nothing waits, and no task runs inside them.
struct Http2Client::Callbacks {
  static Http2Client& of(void* user_data) { return *static_cast<Http2Client*>(user_data); }
  static Http2Call* call(nghttp2_session* native, std::int32_t id) {
    return static_cast<Http2Call*>(nghttp2_session_get_stream_user_data(native, id));
  }

  static int on_begin_frame(nghttp2_session*, const nghttp2_frame_hd* head, void* user_data) {
    auto& client = of(user_data);
    if (head->type == NGHTTP2_HEADERS) {
      client.head_frames_ = 0;
    } else if (head->type == NGHTTP2_CONTINUATION && ++client.head_frames_ > most_head_frames) {
      client.punish(NGHTTP2_ENHANCE_YOUR_CALM, "sent a head in too many frames");
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    } else if (head->type == NGHTTP2_PUSH_PROMISE) {
      // The library lets one by until the server has said that it knows our settings.
      client.punish(NGHTTP2_PROTOCOL_ERROR, "pushed an answer that nobody asked for");
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
  }

  static int on_begin_headers(nghttp2_session*, const nghttp2_frame*, void* user_data) {
    of(user_data).head_decoded_ = 0;
    return 0;
  }

  static int on_header(nghttp2_session* native, const nghttp2_frame* frame,
                       const std::uint8_t* name_bytes, std::size_t name_size,
                       const std::uint8_t* value_bytes, std::size_t value_size, std::uint8_t,
                       void* user_data) {
    auto& client = of(user_data);
    auto* found = call(native, frame->hd.stream_id);
    const bool is_kept = client.count_decoded(found, name_size + value_size + 32);
    if (!client.punished_.empty()) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (found == nullptr || !is_kept) {
      return 0;
    }
    const auto name = text(name_bytes, name_size);
    const auto value = text(value_bytes, value_size);
    if (name == ":status") {
      found->status = status_of(value);  // nghttp2 has seen that it is a number of three digits
    } else if (!name.starts_with(':')) {
      Headers& headers = found->head_done_ ? found->trailers : found->headers;
      headers.add(std::string(name), std::string(value));
    }
    return 0;
  }

  static int on_frame(nghttp2_session* native, const nghttp2_frame* frame, void* user_data) {
    auto& client = of(user_data);
    const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    auto* found = call(native, frame->hd.stream_id);
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        if (found != nullptr && !found->head_done_) {
          if (found->status < 200) {  // an interim answer: the final one follows
            found->status = 0;
            found->headers.fields.clear();
            client.count_control_frame();
            break;
          }
          found->head_done_ = true;
          found->wake();
        }
        break;
      case NGHTTP2_DATA:
        if (frame->hd.length == 0 && !ends) {
          client.count_control_frame();
        }
        break;
      case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
          client.greeted_ = true;
          client.first_bytes_ = std::string();
          client.greeting_.notify_all();
          client.count_control_frame();
        }
        break;
      case NGHTTP2_PING:
      case NGHTTP2_PRIORITY:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
          client.count_control_frame();
        }
        break;
      case NGHTTP2_GOAWAY: client.retired_ = true; break;
      default: break;
    }
    if (found != nullptr && ends &&
        (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA)) {
      found->remote_ended_ = true;
      found->wake();
    }
    return 0;
  }

  static int on_data(nghttp2_session* native, std::uint8_t, std::int32_t id,
                     const std::uint8_t* bytes, std::size_t size, void* user_data) {
    auto& client = of(user_data);
    auto* found = call(native, id);
    const bool is_read = found != nullptr && !found->closed_;
    client.count_unread(is_read ? static_cast<std::ptrdiff_t>(size) : 0, size);
    if (is_read) {
      found->on_bytes(text(bytes, size));
    }
    return 0;
  }

  static int on_stream_close(nghttp2_session*, std::int32_t id, std::uint32_t http2_error,
                             void* user_data) {
    of(user_data).drop(id, http2_error);
    return 0;
  }

  // A request that waited for its turn, and will have none: the server goes away.
  static int on_not_sent(nghttp2_session*, const nghttp2_frame* frame, int, void* user_data) {
    if (frame->hd.type == NGHTTP2_HEADERS) {
      of(user_data).drop(frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
    }
    return 0;
  }

  static ssize_t read_body(nghttp2_session* native, std::int32_t id, std::uint8_t* out,
                           std::size_t most, std::uint32_t* flags, nghttp2_data_source*, void*) {
    auto* found = call(native, id);
    return found == nullptr ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
                            : found->take(native, out, most, flags);
  }
};

nghttp2_session* Http2Client::make_session(Http2Client* client) {
  nghttp2_session_callbacks* callbacks = nullptr;
  THAW_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
  using C = Callbacks;
  nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, C::on_begin_frame);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, C::on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, C::on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, C::on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, C::on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, C::on_stream_close);
  nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, C::on_not_sent);

  nghttp2_option* option = nullptr;
  THAW_CHECK(nghttp2_option_new(&option) == 0);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_max_outbound_ack(option, 1'000);
  nghttp2_session* native = nullptr;
  THAW_CHECK(nghttp2_session_client_new2(&native, callbacks, client, option) == 0);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  return native;
}

Http2Client::Http2Client(Socket socket, std::string name, std::shared_ptr<CoarseTimer> timer)
    : socket_(std::move(socket)),
      name_(std::move(name)),
      timer_(std::move(timer)),
      native_(make_session(this)),
      idle_alarm_([this] { retire(); }) {}

Http2Client::~Http2Client() { nghttp2_session_del(native_); }

void Http2Client::start() {
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, header_table_bytes},
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(most_head_bytes)},
  };
  nghttp2_submit_settings(native_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(native_, NGHTTP2_FLAG_NONE, 0, connection_window);
  flush_soon();
  rest();
  await_input();
}

Error Http2Client::error(std::string_view what) const {
  return Error::unavailable("the server at " + name_ + " " + std::string(what));
}

async::Task<void> Http2Client::until_greeted(Instant deadline) {
  const auto self = shared_from_this();
  while (!greeted_) {
    if (closed_) {
      co_return why_closed_.value_or(error("has closed the connection"));
    }
    THAW_CO_TRY(const bool notified, co_await greeting_.wait(deadline));
    if (!notified) {
      co_return Error::deadline_exceeded("the server at " + name_ +
                                         " has said nothing of HTTP/2 in time");
    }
  }
  co_return ok();
}

bool Http2Client::takes_calls() const {
  return !closed_ && !retired_ && punished_.empty() &&
         nghttp2_session_get_next_stream_id(native_) < static_cast<std::uint32_t>(last_stream) &&
         nghttp2_session_check_request_allowed(native_) != 0;
}

bool Http2Client::has_room() const {
  return takes_calls() && calls_.size() < nghttp2_session_get_remote_settings(
                                              native_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

void Http2Client::look() {
  if (!closed_) {
    read_some(reads_per_turn);
  }
}

Result<std::shared_ptr<Http2Call>> Http2Client::begin(std::span<const nghttp2_nv> fields, Body body,
                                                      Instant deadline) {
  if (!takes_calls()) {
    return error("takes no requests on this connection any more");
  }
  auto call = std::make_shared<Http2Call>(shared_from_this());
  nghttp2_data_provider provider{};
  provider.read_callback = Callbacks::read_body;
  const std::int32_t id =
      nghttp2_submit_request(native_, nullptr, fields.data(), fields.size(),
                             body == Body::follows ? &provider : nullptr, call.get());
  if (id < 0) {
    call->closed_ = true;
    return error(std::string("cannot be asked: ") + nghttp2_strerror(id));
  }
  call->id_ = id;
  call->ended_ = body == Body::none;
  calls_[id] = call.get();
  idle_alarm_.disarm();
  if (deadline != Instant::max()) {
    call->deadline_alarm_.ring = [raw = call.get()] {
      raw->client_->reset(*raw, NGHTTP2_CANCEL);
      raw->fail(Error::deadline_exceeded("the server has not answered in time"));
    };
    timer_->arm(call->deadline_alarm_, deadline);
  }
  flush_soon();
  return call;
}

void Http2Client::resume(Http2Call& call) {
  if (call.sending_deferred_ && !call.closed_) {
    call.sending_deferred_ = false;
    nghttp2_session_resume_data(native_, call.id_);
  }
  flush_soon();
}

void Http2Client::reset(Http2Call& call, std::uint32_t http2_error) {
  if (call.id_ != 0 && !call.closed_ && !closed_) {
    nghttp2_submit_rst_stream(native_, NGHTTP2_FLAG_NONE, call.id_, http2_error);
    flush_soon();
  }
}

void Http2Client::took(Http2Call& call, std::size_t bytes) {
  if (bytes == 0 || closed_) {
    return;
  }
  if (!call.remote_ended_ && !call.closed_) {
    nghttp2_session_consume_stream(native_, call.id_, bytes);
  }
  count_unread(-static_cast<std::ptrdiff_t>(bytes), 0);
  flush_soon();
}

void Http2Client::forget(Http2Call& call) {
  if (call.id_ != 0 && calls_.erase(call.id_) > 0) {
    nghttp2_session_set_stream_user_data(native_, call.id_, nullptr);
    rest();
  }
}

void Http2Client::drop(std::int32_t id, std::uint32_t http2_error) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) {
    return;
  }
  Http2Call& call = *found->second;
  calls_.erase(found);
  nghttp2_session_set_stream_user_data(native_, id, nullptr);
  was_used_ = true;
  call.on_close(http2_error);
  rest();
}

void Http2Client::rest() {
  if (!calls_.empty() || closed_) {
    return;
  }
  if (retired_) {
    return flush_soon();
  }
  timer_->arm(idle_alarm_, monotonic_now() + idle_time);
}

void Http2Client::count_unread(std::ptrdiff_t change, std::size_t arrived) {
  unread_ += change;
  withheld_ += arrived;
  if (withheld_ > 0 && unread_ <= most_unread && !closed_) {
    nghttp2_session_consume_connection(native_, std::exchange(withheld_, 0));
    flush_soon();
  }
}

void Http2Client::count_control_frame() {
  if (!control_frames_.allow(monotonic_now())) {
    punish(NGHTTP2_ENHANCE_YOUR_CALM, flood);
  }
}

// False: not kept. What a head unpacks to beyond its bound is dropped, and far beyond it the
// connection ends.
bool Http2Client::count_decoded(Http2Call* call, std::size_t bytes) {
  head_decoded_ += bytes;
  if (head_decoded_ > 4 * most_head_bytes) {
    punish(NGHTTP2_ENHANCE_YOUR_CALM, "sent a head that unpacks to many times what is allowed");
    return false;
  }
  if (call == nullptr || call->closed_) {
    return false;
  }
  call->header_bytes_ += bytes;
  if (call->header_bytes_ > most_head_bytes) {
    reset(*call, NGHTTP2_CANCEL);
    call->fail(Error::unavailable("the head of the server's answer is larger than " +
                                  std::to_string(most_head_bytes >> 10) + " KiB"));
    return false;
  }
  return true;
}

void Http2Client::punish(std::uint32_t http2_error, std::string_view why) {
  if (!closed_ && punished_.empty()) {
    log_warning("connection to an HTTP/2 server closed",
                {{"server", name_}, {"why", std::string(why)}});
    punished_ = why;
    nghttp2_session_terminate_session(native_, http2_error);
    flush_soon();
  }
}

void Http2Client::await_input() {
  socket_.async_wait(Socket::wait_read,
                     [weak = weak_from_this()](const boost::system::error_code& error) {
                       const auto self = weak.lock();
                       if (!self || self->closed_ || error) {
                         return;
                       }
                       self->read_some(reads_per_turn);
                       if (!self->closed_) {
                         self->await_input();
                       }
                     });
}

void Http2Client::read_some(int most_reads) {
  std::array<char, read_bytes> buffer;
  in_turn_ = true;
  for (int reads = 0; reads < most_reads && !closed_ && punished_.empty(); ++reads) {
    const ssize_t count =
        ::recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      if (count == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
        in_turn_ = false;
        return close(error("has closed the connection"));
      }
      break;
    }
    feed({buffer.data(), static_cast<std::size_t>(count)});
    if (static_cast<std::size_t>(count) < buffer.size()) {
      break;
    }
  }
  in_turn_ = false;
  flush();
}

// A server of HTTP/2 begins with its settings.
void Http2Client::look_at_first(std::string_view bytes) {
  constexpr std::string_view http1 = "HTTP/";
  if (first_bytes_.size() >= frame_head_bytes) {
    return;
  }
  first_bytes_ += bytes.substr(0, frame_head_bytes - first_bytes_.size());
  if (first_bytes_.starts_with(http1)) {
    punished_ = "answers by HTTP/1, not by HTTP/2";
  } else if (first_bytes_.size() >= frame_head_bytes && first_bytes_[3] != NGHTTP2_SETTINGS) {
    punished_ = "answers by something that is not HTTP/2";
  }
  speaks_otherwise_ = !punished_.empty();
}

void Http2Client::feed(std::string_view bytes) {
  if (!greeted_) {
    look_at_first(bytes);
    if (speaks_otherwise_) {
      return;
    }
  }
  const ssize_t used = nghttp2_session_mem_recv(
      native_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (used == NGHTTP2_ERR_FLOODED) {
    punish(NGHTTP2_ENHANCE_YOUR_CALM, flood);
  } else if (used < 0 && punished_.empty()) {
    nghttp2_session_terminate_session(native_, NGHTTP2_PROTOCOL_ERROR);
    punished_ =
        std::string("broke the rules of HTTP/2: ") + nghttp2_strerror(static_cast<int>(used));
  }
}

void Http2Client::flush_soon() {
  if (in_turn_ || flush_posted_ || waiting_writable_ || closed_) {
    return;
  }
  flush_posted_ = true;
  asio::post(socket_.get_executor(), [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self && self->flush_posted_) {
      self->flush();
    }
  });
}

bool Http2Client::fill() {
  while (out_.size() - out_begin_ < out_bytes) {
    const std::uint8_t* bytes = nullptr;
    const ssize_t count = nghttp2_session_mem_send(native_, &bytes);
    if (count < 0) {
      return false;
    }
    if (count == 0) {
      break;
    }
    out_.append(text(bytes, static_cast<std::size_t>(count)));
  }
  return true;
}

void Http2Client::flush() {
  flush_posted_ = false;
  if (closed_) {
    return;
  }
  if (waiting_writable_) {
    // What is told to a server that broke the rules must fit into the socket at once.
    return punished_.empty() ? void() : close(error(punished_));
  }
  for (int round = 0;; ++round) {
    in_turn_ = true;
    const bool filled = fill();
    in_turn_ = false;
    if (!filled) {
      return close(error("cannot be spoken to: out of memory"));
    }
    if (out_begin_ == out_.size()) {
      break;
    }
    if (round == writes_per_turn) {
      return flush_soon();
    }
    const ssize_t count = ::send(socket_.native_handle(), out_.data() + out_begin_,
                                 out_.size() - out_begin_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      if (punished_.empty() && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return wait_writable();
      }
      return close(error(punished_.empty() ? "has closed the connection" : punished_));
    }
    out_begin_ += static_cast<std::size_t>(count);
    if (out_begin_ == out_.size()) {
      out_.clear();
      out_begin_ = 0;
    }
  }
  out_ = std::string();
  out_begin_ = 0;
  if (!punished_.empty()) {
    return close(error(punished_));
  }
  if ((retired_ && calls_.empty()) ||
      (nghttp2_session_want_read(native_) == 0 && nghttp2_session_want_write(native_) == 0)) {
    close(error("has closed the connection"));
  }
}

void Http2Client::wait_writable() {
  waiting_writable_ = true;
  out_.erase(0, out_begin_);
  out_begin_ = 0;
  socket_.async_wait(Socket::wait_write,
                     [weak = weak_from_this()](const boost::system::error_code& error) {
                       const auto self = weak.lock();
                       if (!self) {
                         return;
                       }
                       self->waiting_writable_ = false;
                       if (!error) {
                         self->flush();
                       }
                     });
}

void Http2Client::retire() {
  retired_ = true;
  rest();
}

void Http2Client::close(const Error& why) {
  if (closed_) {
    return;
  }
  const auto self = weak_from_this().lock();
  if (punished_.empty() && !waiting_writable_) {
    // A farewell, as far as the socket takes it.
    nghttp2_session_terminate_session(native_, NGHTTP2_NO_ERROR);
    in_turn_ = true;
    if (fill() && out_begin_ < out_.size()) {
      [[maybe_unused]] const auto sent =
          ::send(socket_.native_handle(), out_.data() + out_begin_, out_.size() - out_begin_,
                 MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    in_turn_ = false;
  }
  closed_ = true;
  why_closed_ = why;
  idle_alarm_.disarm();
  greeting_.notify_all();
  const auto calls = std::exchange(calls_, {});
  for (const auto& [id, call] : calls) {
    call->remote_ended_ ? call->on_close(NGHTTP2_NO_ERROR) : call->fail(why);
  }
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace thaw::net::detail
