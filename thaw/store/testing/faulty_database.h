// SPDX-License-Identifier: Apache-2.0
//
// FaultyDatabase: another database, on a disk that is full now and then: as many of the writes fail
// as is asked for, and change nothing. For simulations.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "thaw/store/database.h"

namespace thaw::store::testing {

class FaultyDatabase final : public Database {
 public:
  // `fails` is asked before each write.
  FaultyDatabase(std::unique_ptr<Database> inner, std::function<bool()> fails)
      : inner_(std::move(inner)), fails_(std::move(fails)) {}

  void write_later(std::function<Result<void>(Transaction&)> work) override {
    if (!fails_()) {
      inner_->write_later(std::move(work));
    }
  }
  Result<void> read_now(const std::function<Result<void>(Transaction&)>& work) override {
    return inner_->read_now(work);
  }
  async::Task<void> release_memory() override { return inner_->release_memory(); }
  void close() override { inner_->close(); }

 protected:
  async::Task<void> submit_write(std::function<Result<void>(Transaction&)> work) override {
    if (!fails_()) {
      return inner_->write<void>(std::move(work));
    }
    // It takes as long as one that succeeds, and its place in the order.
    return inner_->write<void>([](Transaction&) -> Result<void> {
      return Error::resource_exhausted("the disk is full; make room on it and try again");
    });
  }
  async::Task<void> submit_read(std::function<Result<void>(Transaction&)> work) override {
    return inner_->read<void>(std::move(work));
  }

 private:
  std::unique_ptr<Database> inner_;
  std::function<bool()> fails_;
};

}  // namespace thaw::store::testing
