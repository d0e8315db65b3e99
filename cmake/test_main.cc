// SPDX-License-Identifier: Apache-2.0
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <string>

// Of programs with the sandbox module, which run themselves anew as their spawner.
namespace thaw::sandbox {
__attribute__((weak)) bool is_to_be_spawner(int argc, char** argv);
__attribute__((weak)) int run_as_spawner();
}  // namespace thaw::sandbox

namespace {

// Says at the end again what failed: between are thousands of lines of what the code under test
// logs, and who keeps a part of the output keeps its end.
class FailuresAtTheEnd final : public doctest::IReporter {
 public:
  explicit FailuresAtTheEnd(const doctest::ContextOptions& /*unused*/) {}

  void test_case_start(const doctest::TestCaseData& test) override { test_ = test.m_name; }
  void test_case_reenter(const doctest::TestCaseData& test) override { test_ = test.m_name; }
  void log_assert(const doctest::AssertData& assertion) override {
    if (assertion.m_failed) {
      add(assertion.m_file, assertion.m_line,
          std::string(assertion.m_expr) + " is " + assertion.m_decomp.c_str());
    }
  }
  void test_case_exception(const doctest::TestCaseException& exception) override {
    add("an exception", 0, exception.error_string.c_str());
  }
  void test_run_end(const doctest::TestRunStats& /*unused*/) override {
    std::fputs(failures_.c_str(), stdout);
  }

  void report_query(const doctest::QueryData& /*unused*/) override {}
  void test_run_start() override {}
  void test_case_end(const doctest::CurrentTestCaseStats& /*unused*/) override {}
  void subcase_start(const doctest::SubcaseSignature& /*unused*/) override {}
  void subcase_end() override {}
  void log_message(const doctest::MessageData& /*unused*/) override {}
  void test_case_skipped(const doctest::TestCaseData& /*unused*/) override {}

 private:
  void add(const char* file, int line, const std::string& what) {
    constexpr std::size_t enough = 16'000;
    if (failures_.size() < enough) {
      failures_ +=
          "FAILED in \"" + test_ + "\": " + file + ":" + std::to_string(line) + ": " + what + "\n";
    }
  }

  std::string test_;
  std::string failures_;
};

REGISTER_LISTENER("failures_at_the_end", 1, FailuresAtTheEnd);

}  // namespace

int main(int argc, char** argv) {
  if (thaw::sandbox::is_to_be_spawner != nullptr && thaw::sandbox::is_to_be_spawner(argc, argv)) {
    return thaw::sandbox::run_as_spawner();
  }
  return doctest::Context(argc, argv).run();
}
