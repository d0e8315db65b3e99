// SPDX-License-Identifier: Apache-2.0
//
// Result<T>: a value or an Error, never ignored. The world fails with a value; our own mistakes
// stop the program (see check.h). THAW_TRY / THAW_CO_TRY propagate as statements, so they need
// braces around them in an `if`.
#pragma once

#include <tl/expected.hpp>

#include "thaw/base/error.h"

namespace thaw {

template <class T>
struct [[nodiscard]] Result : tl::expected<T, Error> {
  using Base = tl::expected<T, Error>;
  using Base::Base;
  Result(Base base) : Base(std::move(base)) {}
  Result(Error error) : Base(tl::unexpect, std::move(error)) {}
};

template <>
struct [[nodiscard]] Result<void> : tl::expected<void, Error> {
  using Base = tl::expected<void, Error>;
  using Base::Base;
  Result() = default;
  Result(Base base) : Base(std::move(base)) {}
  Result(Error error) : Base(tl::unexpect, std::move(error)) {}
};

inline Result<void> ok() { return {}; }

}  // namespace thaw

#define THAW_CONCAT_INNER_(a, b) a##b
#define THAW_CONCAT_(a, b) THAW_CONCAT_INNER_(a, b)

// THAW_TRY(auto lease, queue.lease(id));   declares `lease` or returns the Error.
#define THAW_TRY(declaration, ...) \
  THAW_TRY_INNER_(THAW_CONCAT_(thaw_result_, __LINE__), return, declaration, __VA_ARGS__)
#define THAW_CO_TRY(declaration, ...) \
  THAW_TRY_INNER_(THAW_CONCAT_(thaw_result_, __LINE__), co_return, declaration, __VA_ARGS__)
#define THAW_TRY_INNER_(name, return_word, declaration, ...) \
  auto name = (__VA_ARGS__);                                 \
  if (!name) {                                               \
    return_word std::move(name).error();                     \
  }                                                          \
  declaration = std::move(*name)

// THAW_TRY_VOID(file.sync());   for Result<void>.
#define THAW_TRY_VOID(...)                                \
  if (auto thaw_outcome = (__VA_ARGS__); !thaw_outcome) { \
    return std::move(thaw_outcome).error();               \
  }                                                       \
  static_assert(true)
#define THAW_CO_TRY_VOID(...)                             \
  if (auto thaw_outcome = (__VA_ARGS__); !thaw_outcome) { \
    co_return std::move(thaw_outcome).error();            \
  }                                                       \
  static_assert(true)
