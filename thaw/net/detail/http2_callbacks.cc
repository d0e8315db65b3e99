// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/http2_callbacks.h"

#include "thaw/base/check.h"
#include "thaw/net/detail/http2_session.h"

namespace thaw::net::detail {

namespace {

std::string_view text(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

struct Http2Session::Callbacks {
  static Http2Session& of(void* user_data) { return *static_cast<Http2Session*>(user_data); }
  static Http2Stream* stream(nghttp2_session* native, std::int32_t id) {
    return static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(native, id));
  }

  static int on_begin_headers(nghttp2_session* native, const nghttp2_frame* frame,
                              void* user_data) {
    auto& session = of(user_data);
    session.head_decoded_ = 0;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
      return 0;
    }
    const std::int32_t id = frame->hd.stream_id;
    if (session.draining_) {
      nghttp2_submit_rst_stream(native, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
      return 0;
    }
    auto created = std::make_shared<Http2Stream>(session, id, session.account_);
    created->request().headers.fields.reserve(12);
    nghttp2_session_set_stream_user_data(native, id, created.get());
    session.streams_.emplace(id, std::move(created));
    ServerCore::works(session);
    return 0;
  }

  static int on_begin_frame(nghttp2_session*, const nghttp2_frame_hd* head, void* user_data) {
    of(user_data).in_headers_ =
        (head->type == NGHTTP2_HEADERS || head->type == NGHTTP2_CONTINUATION) &&
        (head->flags & NGHTTP2_FLAG_END_HEADERS) == 0;
    return 0;
  }

  static int on_header(nghttp2_session* native, const nghttp2_frame* frame,
                       const std::uint8_t* name_bytes, std::size_t name_size,
                       const std::uint8_t* value_bytes, std::size_t value_size, std::uint8_t,
                       void* user_data) {
    auto& session = of(user_data);
    const std::size_t size = name_size + value_size + 32;
    if (!session.decoded(size)) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    auto* found = stream(native, frame->hd.stream_id);
    if (found == nullptr) {
      return 0;
    }
    found->header_bytes += size;
    if (found->header_bytes > session.core_->limits.header_bytes) {
      found->header_overflow = true;
      return 0;
    }
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
      // Behind the body.
      found->request_trailers.add(std::string(text(name_bytes, name_size)),
                                  std::string(text(value_bytes, value_size)));
      return 0;
    }
    const auto name = text(name_bytes, name_size);
    const auto value = text(value_bytes, value_size);
    HttpRequest& request = found->request();
    if (!name.starts_with(':')) {
      request.headers.add(std::string(name), std::string(value));
    } else if (name == ":method") {
      request.method = value;
    } else if (name == ":path") {
      request.target = value;
    } else if (name == ":scheme") {
      request.scheme = session.peer_.scheme();  // what it is, whatever the peer calls it
    } else if (name == ":authority") {
      request.authority = value;
    }
    return 0;
  }

  static int on_frame(nghttp2_session* native, const nghttp2_frame* frame, void* user_data) {
    auto& session = of(user_data);
    const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS: {
        if (!session.head_ended()) {
          return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        auto* found = stream(native, frame->hd.stream_id);
        if (found != nullptr && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
          session.admit(*found);
          session.ready_.push_back(session.streams_.at(frame->hd.stream_id));
        }
        if (found != nullptr && ends) {
          found->on_remote_end();
        }
        break;
      }
      case NGHTTP2_DATA:
        if (ends) {
          if (auto* found = stream(native, frame->hd.stream_id)) {
            found->on_remote_end();
          }
        } else if (frame->hd.length == 0) {
          session.allow_control_frame();
        }
        break;
      case NGHTTP2_RST_STREAM:
        if (!session.resets_.allow(monotonic_now())) {
          session.punish(NGHTTP2_ENHANCE_YOUR_CALM, "too many streams were reset");
        }
        break;
      case NGHTTP2_PING:
      case NGHTTP2_SETTINGS:
      case NGHTTP2_PRIORITY:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
          session.allow_control_frame();
        }
        break;
      case NGHTTP2_GOAWAY:
        // A peer that leaves in peace waits for its answers; otherwise it gives up what runs.
        session.punished_ = session.punished_ || frame->goaway.error_code != NGHTTP2_NO_ERROR;
        break;
      default: break;
    }
    return 0;
  }

  static int on_data(nghttp2_session* native, std::uint8_t, std::int32_t id,
                     const std::uint8_t* bytes, std::size_t size, void* user_data) {
    if (auto* found = stream(native, id)) {
      found->on_bytes(text(bytes, size));
    } else {
      of(user_data).count_unread(0, size);
    }
    return 0;
  }

  static int on_stream_close(nghttp2_session* native, std::int32_t id, std::uint32_t,
                             void* user_data) {
    auto& session = of(user_data);
    const auto found = session.streams_.find(id);
    if (found != session.streams_.end()) {
      const auto keep = std::move(found->second);
      session.without_token_ -= keep->is_strangers ? 1 : 0;
      session.streams_.erase(found);
      nghttp2_session_set_stream_user_data(native, id, nullptr);
      keep->on_close();
      keep->detach();
      if (session.streams_.empty() && !session.closed_) {
        session.core_->rests(session);
      }
    }
    return 0;
  }

  static int send_data(nghttp2_session*, nghttp2_frame* frame, const std::uint8_t* head,
                       std::size_t length, nghttp2_data_source* source, void* user_data) {
    auto& session = of(user_data);
    if (session.out_.size() - session.out_begin_ >= out_bytes) {
      return NGHTTP2_ERR_WOULDBLOCK;
    }
    THAW_CHECK(frame->data.padlen == 0);
    constexpr std::size_t frame_head_bytes = 9;
    session.out_.append(text(head, frame_head_bytes));
    static_cast<Http2Stream*>(source->ptr)->move_unsent(length, session.out_);
    return 0;
  }
};

nghttp2_session* new_http2_server(Http2Session* session, const ServerLimits& limits) {
  nghttp2_session_callbacks* callbacks = nullptr;
  THAW_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
  using C = Http2Session::Callbacks;
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, C::on_begin_headers);
  nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, C::on_begin_frame);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, C::on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, C::on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, C::on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, C::on_stream_close);
  nghttp2_session_callbacks_set_send_data_callback(callbacks, C::send_data);

  nghttp2_option* option = nullptr;
  THAW_CHECK(nghttp2_option_new(&option) == 0);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_max_outbound_ack(option, 1'000);
  // Our own FloodGuard knows how many streams this server allows; the library's default does not.
  nghttp2_option_set_stream_reset_rate_limit(option, 2u * limits.streams_per_connection + 2'000,
                                             2'000);

  nghttp2_session* native = nullptr;
  THAW_CHECK(nghttp2_session_server_new2(&native, callbacks, session, option) == 0);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  return native;
}

}  // namespace thaw::net::detail
