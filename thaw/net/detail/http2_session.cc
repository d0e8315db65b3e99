// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/http2_session.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

#include "thaw/base/log.h"
#include "thaw/net/detail/http2_callbacks.h"
#include "thaw/net/detail/http2_exchange.h"

namespace thaw::net::detail {

namespace asio = boost::asio;

namespace {

// What may come before a handler has asked for more (see Http2Stream): a whole small message. The
// connection's window is far above what one round trip carries on a local network;
// limits.connection_unread_bytes bounds what nobody reads.
constexpr std::uint32_t stream_window = 256u << 10;
constexpr std::int32_t connection_window = 16 << 20;
// How much one turn may write before others run.
constexpr int writes_per_turn = 16;
// A smaller table than HTTP/2's own holds all that clients repeat, and unpacks to less.
constexpr std::uint32_t header_table_bytes = 2048;
// A head up to here counts as nothing that was blown up.
constexpr std::size_t usual_head_bytes = 4u << 10;
// What a connection costs beside its streams.
constexpr std::size_t session_bytes = 24u << 10;
constexpr std::string_view flood = "too many frames that carry nothing";

}  // namespace

struct Http2Session::Link {
  Http2Session* session;
};

Http2Session::Http2Session(Socket socket, Peer peer, std::shared_ptr<const Service> service,
                           std::shared_ptr<ServerCore> core, std::shared_ptr<Account> account)
    : socket_(std::move(socket)),
      peer_(std::move(peer)),
      service_(std::move(service)),
      core_(std::move(core)),
      account_(account),
      held_(account_),
      // A client may give up all its polls at once, and go on at a thousand a second.
      resets_(std::max(1'000.0, 1.0 * core_->limits.streams_per_connection), 1'000),
      last_heard_(monotonic_now()),
      silence_alarm_([this] { on_silence(); }),
      header_alarm_([this] { punish(NGHTTP2_ENHANCE_YOUR_CALM, "headers took too long"); }),
      link_(std::make_shared<Link>(Link{this})),
      tasks_(core_->loop) {
  held_.set(session_bytes + socket_.tls_bytes());
  native_ = new_http2_server(this, core_->limits);
  const bool is_container =
      peer_.transport == Peer::Transport::unix_socket && peer_.identity != "admin";
  const std::uint32_t streams = is_container ? std::min(core_->limits.streams_per_container,
                                                        core_->limits.streams_per_connection)
                                             : core_->limits.streams_per_connection;
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, header_table_bytes},
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
       static_cast<std::uint32_t>(core_->limits.header_bytes)},
  };
  nghttp2_submit_settings(native_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(native_, NGHTTP2_FLAG_NONE, 0, connection_window);
  counted = std::move(account);
  core_->connections.push_back(*this);
  core_->rests(*this);
}

Http2Session::~Http2Session() {
  link_->session = nullptr;
  nghttp2_session_del(native_);
}

async::Task<void> Http2Session::run(std::string already_read) {
  draining_ = core_->draining;
  in_turn_ = true;
  feed(already_read);
  already_read = std::string();
  bool more = start_ready() || socket_.knows_more();
  in_turn_ = false;
  flush();
  watch_silence();
  while (!closed_ && !co_await async::is_cancelled()) {
    if (!more) {
      const auto [error] =
          co_await socket_.async_wait(Socket::wait_read, asio::as_tuple(asio::use_awaitable));
      if (error || closed_) {
        break;
      }
    }
    if (more || core_->turns.is_greedy(turns_, whose_turns(), monotonic_now())) {
      const auto called = co_await core_->turns.wait(turns_, whose_turns());
      if (!called || closed_) {
        break;
      }
    }
    more = read_available();
  }
  header_alarm_.disarm();
  silence_alarm_.disarm();
  if (co_await async::is_cancelled()) {
    // Not the peer's doing: tell it, as far as the socket takes it without waiting.
    nghttp2_session_terminate_session(native_, NGHTTP2_NO_ERROR);
    flush();
  }
  close();
  const auto stopped = co_await tasks_.stop();
  for (auto& [id, stream] : streams_) {
    stream->detach();
  }
  co_return stopped;
}

bool Http2Session::read_available() {
  in_turn_ = true;
  const Instant began = monotonic_now();
  Instant now = began;
  bool more = start_ready();
  while (!closed_ && !punished_ && !more) {
    auto& buffer = core_->read_buffer;
    const std::size_t wanted = std::min(read_bytes_, buffer.size());
    const ssize_t count = socket_.receive_now(buffer.data(), wanted);
    if (count <= 0) {
      if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
        close();
      }
      break;
    }
    last_heard_ = now;
    feed({buffer.data(), static_cast<std::size_t>(count)});
    const Instant fed = monotonic_now();
    // As much at a time as half a slice is enough for.
    const bool is_dear = fed - now > Turns::slice / 2;
    now = fed;
    if (is_dear) {
      read_bytes_ = std::max(read_bytes_ / 2, least_read);
    }
    if (static_cast<std::size_t>(count) < wanted && !socket_.knows_more()) {
      break;
    }
    if (!is_dear) {
      read_bytes_ = std::min(read_bytes_ * 2, buffer.size());
    }
    if (now - began > Turns::slice) {
      more = true;
      break;
    }
  }
  // With the slice used up they start in the next turn.
  more = more || start_ready();
  in_turn_ = false;
  flush();
  const Instant ended = monotonic_now();
  core_->turns.spend(turns_, whose_turns(), ended - began, ended);
  return more;
}

void Http2Session::feed(std::string_view bytes) {
  if (closed_ || punished_) {
    return;
  }
  const ssize_t used = nghttp2_session_mem_recv(
      native_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (used == NGHTTP2_ERR_FLOODED) {
    // The library's count of answers that wait is as high as ours of frames: either may be first.
    punish(NGHTTP2_ENHANCE_YOUR_CALM, flood);
  } else if (used < 0) {
    log_debug("http2 connection broken by its peer",
              {{"peer", peer_.address}, {"error", nghttp2_strerror(static_cast<int>(used))}});
    nghttp2_session_terminate_session(native_, NGHTTP2_PROTOCOL_ERROR);
    punished_ = true;
  }
  if (!in_headers_) {
    header_alarm_.disarm();
  } else if (!header_alarm_.armed()) {
    core_->timer.arm(header_alarm_, last_heard_ + core_->limits.header_timeout);
  }
}

// Handlers start after the input has been decoded, so that most find their message there; what was
// reset in the same input is never started. A slice's worth at a time; true if some are left.
bool Http2Session::start_ready() {
  const Instant began = monotonic_now();
  while (!ready_.empty() && monotonic_now() - began < Turns::slice) {
    const auto stream = std::move(ready_.front());
    ready_.pop_front();
    // A handler's first step runs inside, and may end this session's turn in any state.
    if (!closed_ && !punished_ && !stream->gone() && !stream->ended()) {
      start(stream);
    }
  }
  return !ready_.empty();
}

void Http2Session::admit(Http2Stream& stream) {
  const HttpRequest& request = stream.request();
  const auto type = request.headers.find("content-type");
  const bool is_grpc = service_->table != nullptr && type && is_grpc_content_type(*type) &&
                       !(service_->table->passes && service_->table->passes(request));
  stream.is_tables = is_grpc;
  std::shared_ptr<Account> account = account_;
  bool is_known = peer_.transport == Peer::Transport::unix_socket;
  if (is_grpc && service_->table->admit && !stream.header_overflow) {
    auto admission = service_->table->admit(request, peer_);
    if (!admission) {
      stream.refuse(std::move(admission).error());
    } else if (!admission->account.empty()) {
      is_known = true;
      account = account_of(*admission);
    }
  } else if (is_grpc && !service_->table->admit) {
    is_known = true;
  }
  if (!is_known) {
    stream.is_strangers = true;
    if (++without_token_ > core_->limits.streams_without_token) {
      stream.reset(NGHTTP2_REFUSED_STREAM);
    }
  }
  if (!stream.admit(std::move(account))) {
    stream.refuse(stream.account().exhausted("a request"));
  }
}

std::shared_ptr<Account> Http2Session::account_of(const Admission& admission) {
  if (owner_ && owner_->name() == admission.account) {
    return owner_;
  }
  std::shared_ptr<Account> within;
  if (!admission.within.empty()) {
    within = core_->shares->account(Shares::Kind::owner, admission.within);
  }
  const auto kind = within ? Shares::Kind::peer : Shares::Kind::owner;
  owner_ = core_->shares->account(kind, admission.account, std::move(within));
  if (on_owner) {
    on_owner(owner_);
  }
  return owner_;
}

void Http2Session::start(const std::shared_ptr<Http2Stream>& stream) {
  if (tasks_.size() > std::size_t{2} * core_->limits.streams_per_connection) {
    // Their streams are gone, but their handlers still clean up: the peer is too fast.
    punish(NGHTTP2_ENHANCE_YOUR_CALM, "too many requests that are being cancelled");
    return;
  }
  if (stream->is_tables) {
    ++core_->stats.grpc_calls;
    stream->task = tasks_.start("grpc", serve_grpc(*this, stream));
  } else {
    ++core_->stats.http_requests;
    stream->task = tasks_.start("http2", serve_http(*this, stream));
  }
}

bool Http2Session::is_quiet() {
  int unread = 0;
  int untaken = 0;
  const int fd = socket_.native_handle();
  return !closed_ && !punished_ && !in_turn_ && ready_.empty() && !in_headers_ && !flush_posted_ &&
         !waiting_writable_ && unsent_ == 0 && nghttp2_session_want_write(native_) == 0 &&
         ::ioctl(fd, SIOCINQ, &unread) == 0 && unread == 0 &&
         ::ioctl(fd, SIOCOUTQ, &untaken) == 0 && untaken == 0;
}

bool Http2Session::has_room() const {
  return unsent_ < static_cast<std::ptrdiff_t>(core_->limits.connection_buffer_bytes);
}

void Http2Session::count_unread(std::ptrdiff_t change, std::size_t arrived) {
  unread_ += change;
  withheld_ += arrived;
  if (withheld_ > 0 &&
      unread_ <= static_cast<std::ptrdiff_t>(core_->limits.connection_unread_bytes)) {
    nghttp2_session_consume_connection(native_, std::exchange(withheld_, 0));
    flush_soon();
  }
}

bool Http2Session::decoded(std::size_t bytes) {
  head_decoded_ += bytes;
  if (head_decoded_ > 4 * core_->limits.header_bytes) {
    punish(NGHTTP2_ENHANCE_YOUR_CALM, "a head that unpacks to many times what is allowed");
    return false;
  }
  return true;
}

bool Http2Session::head_ended() {
  const std::size_t more = std::exchange(head_decoded_, 0);
  if (more > usual_head_bytes &&
      !decoded_.allow(last_heard_, static_cast<double>(more - usual_head_bytes))) {
    punish(NGHTTP2_ENHANCE_YOUR_CALM, "heads that unpack to far more than was sent");
    return false;
  }
  return true;
}

async::Task<void> Http2Session::reserve_reply(std::size_t bytes) {
  while (reply_bytes_ > 0 && reply_bytes_ + bytes > core_->limits.connection_reply_bytes) {
    THAW_CO_TRY([[maybe_unused]] const bool notified,
                co_await reply_released_.wait(Instant::max()));
  }
  reply_bytes_ += bytes;
  co_return ok();
}

void Http2Session::release_reply(std::size_t bytes) {
  if (bytes > 0) {
    reply_bytes_ -= bytes;
    reply_released_.notify_all();
  }
}

void Http2Session::flush_soon() {
  if (in_turn_ || flush_posted_ || waiting_writable_ || closed_) {
    return;
  }
  flush_posted_ = true;
  asio::post(socket_.get_executor(), [link = link_] {
    if (link->session != nullptr && link->session->flush_posted_) {
      link->session->flush();
    }
  });
}

bool Http2Session::fill() {
  while (out_.size() - out_begin_ < out_bytes) {
    const std::uint8_t* bytes = nullptr;
    const ssize_t count = nghttp2_session_mem_send(native_, &bytes);
    if (count < 0) {
      return false;
    }
    if (count == 0) {
      break;
    }
    out_.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(count));
  }
  return true;
}

void Http2Session::flush() {
  flush_posted_ = false;
  if (closed_ || waiting_writable_) {
    // What is told to a peer that broke the rules must fit into the socket at once.
    return punished_ ? close() : void();
  }
  if (out_.empty()) {
    // One buffer serves all connections that the socket does not hold up.
    out_.swap(core_->write_buffer);
  }
  for (int round = 0;; ++round) {
    if (!fill()) {
      return close();
    }
    if (out_.empty()) {
      break;
    }
    if (round == writes_per_turn) {
      return flush_soon();
    }
    const ssize_t count = socket_.send_now(out_.data() + out_begin_, out_.size() - out_begin_);
    if (count < 0) {
      if (!punished_ && (errno == EAGAIN || errno == EINTR)) {
        return wait_writable();
      }
      return close();
    }
    out_begin_ += static_cast<std::size_t>(count);
    if (out_begin_ == out_.size()) {
      out_.clear();
      out_begin_ = 0;
    }
  }
  if (punished_) {
    return close();
  }
  out_.swap(core_->write_buffer);
  out_ = std::string();
  close_if_drained();
}

void Http2Session::wait_writable() {
  waiting_writable_ = true;
  out_.erase(0, out_begin_);
  out_begin_ = 0;
  socket_.async_wait(Socket::wait_write, [link = link_](boost::system::error_code error) {
    if (link->session == nullptr) {
      return;
    }
    link->session->waiting_writable_ = false;
    if (!error) {
      // The peer takes what we send: it is alive.
      link->session->last_heard_ = monotonic_now();
      link->session->flush();
    }
  });
}

void Http2Session::begin_drain() {
  draining_ = true;
  close_if_drained();
}

void Http2Session::give_way() {
  draining_ = true;
  close_if_drained();
  close();
}

// GOAWAY comes when nothing runs any more: grpclib drops its running calls when it sees one. Until
// then new streams are refused, which tells every client that they may go elsewhere.
void Http2Session::close_if_drained() {
  if (closed_ || waiting_writable_) {
    return;
  }
  if (draining_ && streams_.empty() && ready_.empty()) {
    nghttp2_session_terminate_session(native_, NGHTTP2_NO_ERROR);
    if (fill() && !out_.empty()) {
      [[maybe_unused]] const auto sent = socket_.send_now(out_.data(), out_.size());
    }
    return close();
  }
  if (nghttp2_session_want_read(native_) == 0 && nghttp2_session_want_write(native_) == 0) {
    close();
  }
}

void Http2Session::watch_silence() {
  // The kernel tells when a process on a Unix socket dies; one that is frozen must keep its calls.
  if (peer_.transport == Peer::Transport::tcp && !closed_) {
    core_->timer.arm(silence_alarm_, last_heard_ + core_->limits.idle_ping);
  }
}

void Http2Session::on_silence() {
  const Instant now = monotonic_now();
  if (last_heard_ + core_->limits.idle_ping > now) {
    return watch_silence();
  }
  if (ping_sent_ > last_heard_ && ping_sent_ != Instant::max()) {
    log_debug("http2 peer does not answer", {{"peer", peer_.address}});
    return close();
  }
  ping_sent_ = now;
  nghttp2_submit_ping(native_, NGHTTP2_FLAG_NONE, nullptr);
  flush_soon();
  core_->timer.arm(silence_alarm_, now + core_->limits.ping_timeout);
}

void Http2Session::punish(std::uint32_t http2_error, std::string_view why) {
  if (closed_ || punished_) {
    return;
  }
  log_warning("http2 connection closed", {{"peer", peer_.address}, {"why", std::string(why)}});
  nghttp2_session_terminate_session(native_, http2_error);
  punished_ = true;
  if (!in_turn_) {
    flush();
  }
}

void Http2Session::allow_control_frame() {
  if (!control_frames_.allow(monotonic_now())) {
    punish(NGHTTP2_ENHANCE_YOUR_CALM, flood);
  }
}

void Http2Session::close() {
  if (closed_) {
    return;
  }
  closed_ = true;
  unlink();
  ServerCore::works(*this);
  header_alarm_.disarm();
  silence_alarm_.disarm();
  ready_.clear();
  for (auto& [id, stream] : streams_) {
    stream->on_close();
  }
  // Ends the wait in run(); the descriptor goes after the handlers.
  socket_.say_goodbye();
  ::shutdown(socket_.native_handle(), SHUT_RDWR);
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace thaw::net::detail
