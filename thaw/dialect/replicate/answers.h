// SPDX-License-Identifier: Apache-2.0
//
// How this API answers: JSON, errors as problems (title, detail, status), and lists in pages that
// name the next and the previous one by their whole addresses. Loop thread only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "thaw/codec/json.h"
#include "thaw/gateway/input_schema.h"
#include "thaw/net/http.h"

namespace thaw::dialect::replicate {

async::Task<void> answer_json(net::HttpExchange& exchange, int status, codec::Json body);
async::Task<void> answer_nothing(net::HttpExchange& exchange);  // 204
// With what its code means here.
async::Task<void> answer_problem(net::HttpExchange& exchange, Error error);
async::Task<void> answer_invalid_input(net::HttpExchange& exchange,
                                       std::vector<gateway::InvalidField> fields);

// The items of a page, as text. A page ends early where its items are large.
class PageItems {
 public:
  explicit PageItems(std::size_t most_bytes = 16u << 20) : most_bytes_(most_bytes) {}
  // false: it is for the next page. The first one always fits.
  bool add(const codec::Json& item);
  // The whole answer; null or addresses of pages.
  std::string page(const codec::Json& previous, const codec::Json& next) const;

 private:
  std::size_t most_bytes_;
  std::string text_;
};
async::Task<void> answer_page(net::HttpExchange& exchange, std::string page);

// One page of `total` things that are all there: `item` gives each of them. `address`: of the list,
// without a query.
async::Task<void> answer_page(net::HttpExchange& exchange, std::string address, std::size_t total,
                              std::function<codec::Json(std::size_t)> item);

// The object that a body is; invalid_argument says what is wrong with it.
async::Task<codec::Json> read_object(net::HttpExchange& exchange, std::size_t most_bytes);

}  // namespace thaw::dialect::replicate
