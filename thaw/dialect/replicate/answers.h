// SPDX-License-Identifier: Apache-2.0
//
// How this API answers: JSON, errors as problems (title, detail, status), and lists in pages that
// name the next and the previous one by their whole addresses. Loop thread only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "thaw/codec/json.h"
#include "thaw/dialect/replicate/input_schema.h"
#include "thaw/net/http.h"

namespace thaw::dialect::replicate {

async::Task<void> answer_json(net::HttpExchange& exchange, int status, codec::Json body);
async::Task<void> answer_nothing(net::HttpExchange& exchange);  // 204
// With what its code means here.
async::Task<void> answer_problem(net::HttpExchange& exchange, Error error);
async::Task<void> answer_invalid_input(net::HttpExchange& exchange,
                                       std::vector<InvalidField> fields);

// One page of `total` things that are all there: `item` gives each of them. `address`: of the list,
// without a query.
async::Task<void> answer_page(net::HttpExchange& exchange, std::string address, std::size_t total,
                              std::function<codec::Json(std::size_t)> item);

// The object that a body is; invalid_argument says what is wrong with it.
async::Task<codec::Json> read_object(net::HttpExchange& exchange, std::size_t most_bytes);

}  // namespace thaw::dialect::replicate
