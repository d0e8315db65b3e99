// SPDX-License-Identifier: Apache-2.0
//
// The baseline of net_bench.py: the least that answers a gRPC echo on nghttp2. One thread, epoll,
// the bytes of the request back, no limits, no deadlines, no handlers.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>

namespace {

struct Connection {
  int fd = -1;
  nghttp2_session* session = nullptr;
  std::map<int, std::string> bodies;
  std::map<int, std::size_t> sent;
};

nghttp2_nv field(const char* name, const char* value) {
  return {reinterpret_cast<std::uint8_t*>(const_cast<char*>(name)),
          reinterpret_cast<std::uint8_t*>(const_cast<char*>(value)), std::strlen(name),
          std::strlen(value), NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

ssize_t read_body(nghttp2_session* session, std::int32_t stream, std::uint8_t* out,
                  std::size_t room, std::uint32_t* flags, nghttp2_data_source*, void* user) {
  auto& connection = *static_cast<Connection*>(user);
  const std::string& body = connection.bodies[stream];
  std::size_t& sent = connection.sent[stream];
  const std::size_t count = std::min(room, body.size() - sent);
  // NOLINTNEXTLINE(bugprone-not-null-terminated-result): bytes with a length
  std::memcpy(out, body.data() + sent, count);
  sent += count;
  if (sent == body.size()) {
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    const nghttp2_nv trailer = field("grpc-status", "0");
    nghttp2_submit_trailer(session, stream, &trailer, 1);
  }
  return static_cast<ssize_t>(count);
}

int on_data(nghttp2_session*, std::uint8_t, std::int32_t stream, const std::uint8_t* data,
            std::size_t size, void* user) {
  static_cast<Connection*>(user)->bodies[stream].append(reinterpret_cast<const char*>(data), size);
  return 0;
}

int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  if (frame->hd.type == NGHTTP2_DATA && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
    const nghttp2_nv head[] = {field(":status", "200"), field("content-type", "application/grpc")};
    nghttp2_data_provider provider{};
    provider.read_callback = read_body;
    static_cast<Connection*>(user)->sent[frame->hd.stream_id] = 0;
    nghttp2_submit_response(session, frame->hd.stream_id, head, 2, &provider);
  }
  return 0;
}

int on_close(nghttp2_session*, std::int32_t stream, std::uint32_t, void* user) {
  static_cast<Connection*>(user)->bodies.erase(stream);
  static_cast<Connection*>(user)->sent.erase(stream);
  return 0;
}

void flush(Connection& connection) {
  std::string out;
  const std::uint8_t* data = nullptr;
  ssize_t count = 0;
  while ((count = nghttp2_session_mem_send(connection.session, &data)) > 0) {
    out.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(count));
  }
  for (std::size_t sent = 0; sent < out.size();) {
    const ssize_t n = ::send(connection.fd, out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) {
      return;
    }
    sent += static_cast<std::size_t>(n);
  }
}

Connection* make_connection(int fd) {
  auto* connection = new Connection{fd, nullptr, {}, {}};
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
  nghttp2_session_server_new(&connection->session, callbacks, connection);
  nghttp2_session_callbacks_del(callbacks);
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 10'000}};
  nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings, 1);
  flush(*connection);
  return connection;
}

}  // namespace

int main() {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener, 128) != 0) {
    return 1;
  }
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  std::printf("ready %d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  const int poll = ::epoll_create1(0);
  epoll_event event{EPOLLIN, {}};
  ::epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  static char buffer[65536];
  while (true) {
    epoll_event events[64];
    const int count = ::epoll_wait(poll, events, 64, -1);
    for (int i = 0; i < count; ++i) {
      auto* connection = static_cast<Connection*>(events[i].data.ptr);
      if (connection == nullptr) {
        const int fd = ::accept(listener, nullptr, nullptr);
        const int yes = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        epoll_event added{EPOLLIN, {.ptr = make_connection(fd)}};
        ::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &added);
        continue;
      }
      const ssize_t n = ::recv(connection->fd, buffer, sizeof buffer, 0);
      if (n <= 0) {
        ::close(connection->fd);
        nghttp2_session_del(connection->session);
        delete connection;
        continue;
      }
      nghttp2_session_mem_recv(connection->session, reinterpret_cast<std::uint8_t*>(buffer),
                               static_cast<std::size_t>(n));
      flush(*connection);
    }
  }
}
