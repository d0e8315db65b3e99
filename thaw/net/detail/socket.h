// SPDX-License-Identifier: Apache-2.0
//
// Socket: a connected byte stream, TCP or Unix, on the loop's own executor (no type-erased one, so
// that operations are cheap). Everything above reads and writes bytes through it and asks nothing
// of the address family; TLS will be another type with these operations, chosen before sniffing.
#pragma once

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>

namespace thaw::net::detail {

using Executor = boost::asio::io_context::executor_type;
using Socket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol, Executor>;

}  // namespace thaw::net::detail
