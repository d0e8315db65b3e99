// SPDX-License-Identifier: Apache-2.0
//
// A closed loop of unary gRPC calls on one connection, for net_bench.py:
//   net_grpc_load PORT CONCURRENCY SECONDS BYTES
// It prints {"calls": n, "seconds": s, "p50_us": …, "p99_us": …}. It blocks on one socket and
// shares nothing with the servers that it measures.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Load {
  nghttp2_session* session = nullptr;
  std::string message;                                                       // framed
  std::unordered_map<int, std::pair<Clock::time_point, std::size_t>> calls;  // start, bytes sent
  std::vector<double> times_us;
  Clock::time_point end;
  long failed = 0;
};

nghttp2_nv field(const char* name, const char* value) {
  return {reinterpret_cast<std::uint8_t*>(const_cast<char*>(name)),
          reinterpret_cast<std::uint8_t*>(const_cast<char*>(value)), std::strlen(name),
          std::strlen(value), NGHTTP2_NV_FLAG_NONE};
}

ssize_t read_message(nghttp2_session*, std::int32_t stream, std::uint8_t* out, std::size_t room,
                     std::uint32_t* flags, nghttp2_data_source*, void* user) {
  auto& load = *static_cast<Load*>(user);
  std::size_t& sent = load.calls[stream].second;
  const std::size_t count = std::min(room, load.message.size() - sent);
  // NOLINTNEXTLINE(bugprone-not-null-terminated-result): bytes with a length
  std::memcpy(out, load.message.data() + sent, count);
  sent += count;
  if (sent == load.message.size()) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
  }
  return static_cast<ssize_t>(count);
}

void start_call(Load& load) {
  const nghttp2_nv head[] = {
      field(":method", "POST"),
      field(":scheme", "http"),
      field(":path", "/thaw.testing.Echo/Echo"),
      field(":authority", "127.0.0.1"),
      field("content-type", "application/grpc"),
      field("te", "trailers"),
      field("user-agent", "net-bench"),
  };
  nghttp2_data_provider provider{};
  provider.read_callback = read_message;
  const auto stream =
      nghttp2_submit_request(load.session, nullptr, head, std::size(head), &provider, nullptr);
  load.calls[stream] = {Clock::now(), 0};
}

int on_close(nghttp2_session*, std::int32_t stream, std::uint32_t code, void* user) {
  auto& load = *static_cast<Load*>(user);
  const auto now = Clock::now();
  const auto call = load.calls.find(stream);
  load.times_us.push_back(
      std::chrono::duration<double, std::micro>(now - call->second.first).count());
  load.calls.erase(call);
  load.failed += code != 0;
  if (now < load.end) {
    start_call(load);
  }
  return 0;
}

int on_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t size,
              const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
  if (std::string_view(reinterpret_cast<const char*>(name), size) == "grpc-status" &&
      std::string_view(reinterpret_cast<const char*>(value), value_size) != "0") {
    ++static_cast<Load*>(user)->failed;
  }
  return 0;
}

bool flush(Load& load, int fd) {
  std::string out;
  const std::uint8_t* data = nullptr;
  ssize_t count = 0;
  while ((count = nghttp2_session_mem_send(load.session, &data)) > 0) {
    out.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(count));
  }
  return out.empty() ||
         ::send(fd, out.data(), out.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(out.size());
}

// An Ask with `size` bytes of payload, framed.
std::string ask_of(std::size_t size) {
  std::string ask = "\x0a";
  for (std::size_t left = size;;) {
    ask.push_back(static_cast<char>((left & 0x7f) | (left > 0x7f ? 0x80 : 0)));
    left >>= 7;
    if (left == 0) {
      break;
    }
  }
  ask.append(size, 'x');
  std::string framed(5, '\0');
  for (int i = 0; i < 4; ++i) {
    framed[1 + static_cast<std::size_t>(i)] = static_cast<char>(ask.size() >> (24 - 8 * i));
  }
  return framed + ask;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: net_grpc_load PORT CONCURRENCY SECONDS BYTES\n");
    return 2;
  }
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[1])));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    std::perror("connect");
    return 1;
  }
  const int yes = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);

  Load load;
  load.message = ask_of(static_cast<std::size_t>(std::atol(argv[4])));
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_client_new(&load.session, callbacks, &load);
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 64 << 20}};
  nghttp2_submit_settings(load.session, NGHTTP2_FLAG_NONE, settings, 1);
  nghttp2_session_set_local_window_size(load.session, NGHTTP2_FLAG_NONE, 0, 64 << 20);

  const auto start = Clock::now();
  load.end = start + std::chrono::microseconds(static_cast<long>(std::atof(argv[3]) * 1e6));
  for (int i = 0; i < std::atoi(argv[2]); ++i) {
    start_call(load);
  }
  static std::uint8_t buffer[65536];
  while (!load.calls.empty()) {
    if (!flush(load, fd)) {
      return 1;
    }
    const ssize_t count = ::recv(fd, buffer, sizeof buffer, 0);
    if (count <= 0 ||
        nghttp2_session_mem_recv(load.session, buffer, static_cast<std::size_t>(count)) < 0) {
      std::fprintf(stderr, "the server broke the connection\n");
      return 1;
    }
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  auto& times = load.times_us;
  std::sort(times.begin(), times.end());
  std::printf("{\"calls\": %zu, \"seconds\": %.6f, \"p50_us\": %.2f, \"p99_us\": %.2f}\n",
              times.size(), seconds, times[times.size() / 2], times[times.size() * 99 / 100]);
  return load.failed == 0 ? 0 : 1;
}
