// SPDX-License-Identifier: Apache-2.0
//
// ByDialect<T>: what there is one of for each dialect, found by the name that a version carries
// (FunctionSpec::dialect). The one rule of it: versions that name none were stored before there
// were others, and are the first one's. Loop thread only.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "thaw/base/check.h"
#include "thaw/base/result.h"
#include "thaw/model/function.h"

namespace thaw::control {

template <class T>
class ByDialect {
 public:
  // Once for each name.
  void add(std::string name, T one) {
    THAW_CHECK(!name.empty());
    first_ = first_.empty() ? name : first_;
    const bool is_new = by_name_.emplace(std::move(name), std::move(one)).second;
    THAW_CHECK(is_new);
  }

  // It stays valid for as long as this does. failed_precondition: this server does not serve it.
  Result<const T*> of(const model::FunctionSpec& spec) const {
    const auto found = by_name_.find(spec.dialect.empty() ? first_ : spec.dialect);
    if (found != by_name_.end()) {
      return &found->second;
    }
    std::string served;
    for (const auto& [name, one] : by_name_) {
      served += (served.empty() ? "" : ", ") + name;
    }
    return Error::failed_precondition("function " + spec.name + " was published through \"" +
                                      spec.dialect +
                                      "\", which this server does not serve (it has " + served +
                                      "); publish it again through one of them");
  }

 private:
  std::map<std::string, T> by_name_;
  std::string first_;
};

}  // namespace thaw::control
