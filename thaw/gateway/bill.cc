// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/bill.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace thaw::gateway {

namespace {

__extension__ using Wide = __int128;

using meter::Amount;
using meter::CallRow;
using meter::Part;
using meter::PartRow;
using policy::Used;

// What is billed together: one function on one day.
struct Source {
  std::vector<const CallRow*> calls;
  std::vector<const PartRow*> spans;
  std::int64_t share_us = 0;
  std::int64_t cold_us = 0;
};

// `number` of what has `all`, whole; less than one part is nobody's.
std::int64_t part_of(std::int64_t amount, std::int64_t number, std::int64_t all) {
  return all <= 0 ? 0 : static_cast<std::int64_t>(Wide{amount} * number / all);
}

std::size_t place(Part part) { return static_cast<std::size_t>(part); }

class Bill {
 public:
  Bill(const meter::Usage& usage, const policy::Prices& prices, BillBy by)
      : usage_(usage), prices_(prices), by_(by) {}

  std::vector<BillRow> make() {
    std::map<std::tuple<std::int64_t, model::WorkspaceId, model::FunctionId>, Source> sources;
    for (const CallRow& row : usage_.calls) {
      Source& source = sources[{row.day, row.workspace, row.function}];
      source.calls.push_back(&row);
      source.share_us += row.sums.share_us;
      source.cold_us += row.sums.cold_us;
    }
    for (const PartRow& row : usage_.spans) {
      sources[{row.day, row.workspace, row.function}].spans.push_back(&row);
    }
    for (const auto& [key, source] : sources) {
      for (const CallRow* row : source.calls) {
        add_calls(*row, source);
      }
      for (const PartRow* row : source.spans) {
        add_span(*row, source);
      }
    }
    std::vector<BillRow> rows;
    for (auto& [key, row] : rows_) {
      rows.push_back(std::move(row));
    }
    std::stable_sort(rows.begin(), rows.end(), [this](const BillRow& a, const BillRow& b) {
      const auto time = [](const BillRow& row) {
        Amount all;
        for (const Amount& one : row.parts) {
          all += one;
        }
        return all.us;
      };
      return by_ == BillBy::day ? a.day < b.day
                                : std::tuple(a.cost(), time(a)) > std::tuple(b.cost(), time(b));
    });
    return rows;
  }

 private:
  BillRow& row_for(std::int64_t day, const model::WorkspaceId& workspace,
                   const model::FunctionId& function, const CallRow* call) {
    BillRow row;
    row.is_of_calls = call != nullptr;
    switch (by_) {
      case BillBy::function: {
        row.workspace = workspace;
        row.function = function;
        const auto name = usage_.names.find(function);
        row.function_name = name == usage_.names.end() ? function.str() : name->second;
        row.is_of_calls = true;
        break;
      }
      case BillBy::day:
        row.day = policy::day_text(day);
        row.is_of_calls = true;
        break;
      case BillBy::token:
        row.workspace = workspace;
        row.token = call != nullptr ? call->token : model::TokenId();
        break;
      case BillBy::front: row.front = call != nullptr ? call->front : ""; break;
      case BillBy::level:
        row.level = call != nullptr ? std::string(model::level_key(call->level)) : "";
        break;
    }
    const std::tuple key(row.workspace.str(), row.function.str(), row.token.str(), row.front,
                         row.day, row.level, row.is_of_calls);
    return rows_.try_emplace(key, std::move(row)).first->second;
  }

  void add_calls(const CallRow& call, const Source& source) {
    const policy::PriceTable& table = prices_.on(call.day);
    BillRow& row = row_for(call.day, call.workspace, call.function, &call);
    row.sums += call.sums;
    row.cold_calls += meter::is_cold(call.level) ? call.sums.calls : 0;
    Used used;
    used.calls = call.sums.calls;
    used.us = call.sums.share_us;
    if (call.sums.billed_calls > 0) {
      // Calls whose lines are not kept any more are as those that are.
      used.us = part_of(call.sums.billed_us, call.sums.calls, call.sums.billed_calls);
    }
    row.calls_cost += policy::price(used, table);
    row.cold_cost += policy::price({.as = Used::As::cold, .us = call.sums.cold_us}, table);
    for (const PartRow* span : source.spans) {
      const bool is_cold = span->part == Part::cold;
      if (span->part != Part::calls && !is_cold) {
        continue;
      }
      const std::int64_t mine = is_cold ? call.sums.cold_us : call.sums.share_us;
      const std::int64_t all = is_cold ? source.cold_us : source.share_us;
      const Amount amount{mine, part_of(span->amount.cpu_us, mine, all),
                          part_of(span->amount.byte_seconds, mine, all), 0};
      const std::int64_t gpu_us = part_of(span->gpu_us, mine, all);
      add(row, *span, amount, gpu_us);
      Used held;
      held.cpu_us = amount.cpu_us;
      held.byte_seconds = amount.byte_seconds;
      held.gpu = span->gpu;
      held.gpu_us = gpu_us;
      (is_cold ? row.cold_cost : row.calls_cost) += policy::price(held, table);
    }
  }

  void add_span(const PartRow& span, const Source& source) {
    const bool is_calls = span.part == Part::calls && source.share_us > 0;
    const bool is_cold = span.part == Part::cold && source.cold_us > 0;
    if (is_calls || is_cold) {
      return;  // the calls have it
    }
    BillRow& row = row_for(span.day, span.workspace, span.function, nullptr);
    add(row, span, span.amount, span.gpu_us);
    if (span.part == Part::under_way) {
      return;  // it is billed as what it turns out to be
    }
    Used used;
    used.as = span.part == Part::kept_warm ? Used::As::kept_warm : Used::As::background;
    used.us = span.amount.us;
    used.cpu_us = span.amount.cpu_us;
    used.byte_seconds = span.amount.byte_seconds;
    used.frozen_byte_seconds = span.amount.frozen_byte_seconds;
    used.gpu = span.gpu;
    used.gpu_us = span.gpu_us;
    const policy::Money cost = policy::price(used, prices_.on(span.day));
    (span.part == Part::kept_warm ? row.kept_warm_cost : row.background_cost) += cost;
  }

  static void add(BillRow& row, const PartRow& span, const Amount& amount, std::int64_t gpu_us) {
    row.parts[place(span.part)] += amount;
    row.gpu_us[place(span.part)] += gpu_us;
  }

  const meter::Usage& usage_;
  const policy::Prices& prices_;
  BillBy by_;
  std::map<std::tuple<std::string, std::string, std::string, std::string, std::string, std::string,
                      bool>,
           BillRow>
      rows_;
};

}  // namespace

Result<BillBy> parse_bill_by(const std::string& text) {
  constexpr std::pair<std::string_view, BillBy> all[] = {{"function", BillBy::function},
                                                         {"token", BillBy::token},
                                                         {"front", BillBy::front},
                                                         {"day", BillBy::day},
                                                         {"level", BillBy::level}};
  for (const auto& [name, by] : all) {
    if (text == name) {
      return by;
    }
  }
  return Error::invalid_argument("a bill is by function, token, front, day or level, not by '" +
                                 text.substr(0, 40) + "'");
}

std::vector<BillRow> make_bill(const meter::Usage& usage, const policy::Prices& prices, BillBy by) {
  return Bill(usage, prices, by).make();
}

}  // namespace thaw::gateway
