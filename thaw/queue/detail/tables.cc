// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/detail/tables.h"

namespace thaw::queue::detail {

namespace {

using store::AddColumn;
using store::AddIndex;
using store::AddTable;
using store::DropIndex;
using store::Step;
using enum store::Type;
using enum store::Nulls;
using Is = store::AnyCondition::Is;

std::vector<Step> first() {
  return {
      AddTable{.name = "calls",
               .columns = {{"id", text, yes},
                           {"workspace", text},
                           {"app", text},
                           {"function", text},
                           {"max_retries", integer},
                           {"initial_delay_us", integer},
                           {"max_delay_us", integer},
                           {"backoff", real},
                           {"parent_input", text},
                           {"options", bytes},
                           {"created_us", integer},
                           {"cancelled", integer, no, 0},
                           {"finished_us", integer, yes}},
               .key = {"id"}},
      AddIndex{"calls_unfinished", "calls", {"id"}, {{"finished_us", Is::null}}},
      AddIndex{"calls_finished", "calls", {"finished_us"}, {{"finished_us", Is::set}}},
      AddTable{.name = "inputs",
               .columns = {{"id", text, yes},
                           {"call", text},
                           {"idx", integer},
                           {"payload", bytes, yes},
                           {"checksum", text},
                           {"attempts", integer, no, 0},
                           {"retries", integer, no, 0},
                           {"enqueued_us", integer},
                           {"ended", integer, no, 0}},
               .key = {"id"},
               .unique = {{"call", "idx"}}},
      AddIndex{"inputs_unfinished", "inputs", {"call"}, {{"ended", Is::equal, 0}}},
      AddTable{.name = "call_log",
               .columns = {{"call", text},
                           {"number", integer},
                           {"kind", integer},
                           {"input", text},
                           {"idx", integer},
                           {"attempts", integer},
                           {"outcome", integer},
                           {"container", text},
                           {"payload", bytes},
                           {"checksum", text}},
               .key = {"call", "number"}},
  };
}

std::vector<Step> content_types() {
  return {
      AddColumn{"inputs", {"content_type", text, no, ""}},
      AddColumn{"call_log", {"content_type", text, no, ""}},
      AddColumn{"call_log", {"at_us", integer, no, 0}},
      AddColumn{"call_log", {"failure_type", text, yes}},
      AddColumn{"call_log", {"failure_message", text, yes}},
      AddColumn{"call_log", {"failure_trace", text, yes}},
      AddColumn{"call_log", {"failure_retryable", integer, yes}},
  };
}

std::vector<Step> times() {
  return {
      AddColumn{"calls", {"origin", integer, no, 0}},
      AddColumn{"calls", {"log_status", integer, no, 0}},
      AddColumn{"inputs", {"started_us", integer, yes}},
      AddColumn{"call_log", {"status", integer, yes}},
      AddColumn{"call_log", {"version", text, yes}},
      AddColumn{"call_log", {"level", integer, yes}},
  };
}

std::vector<Step> limits() {
  return {
      AddColumn{"calls", {"queue_until_us", integer, yes}},
      AddColumn{"calls", {"end_by_us", integer, yes}},
      AddColumn{"calls", {"run_for_us", integer, yes}},
      AddColumn{"calls", {"redeliveries", integer, yes}},
      AddColumn{"calls", {"payload_for_us", integer, yes}},
      AddColumn{"calls", {"record_for_us", integer, yes}},
      AddColumn{"calls", {"payloads_until_us", integer, yes}},
      AddColumn{"calls", {"record_until_us", integer, yes}},
      DropIndex{"calls_finished"},
      AddIndex{"calls_kept_as_usual",
               "calls",
               {"finished_us"},
               {{"finished_us", Is::set}, {"record_for_us", Is::null}}},
      AddIndex{
          "calls_payloads_until", "calls", {"payloads_until_us"}, {{"payloads_until_us", Is::set}}},
      AddIndex{"calls_record_until", "calls", {"record_until_us"}, {{"record_until_us", Is::set}}},
  };
}

std::vector<Step> lists() {
  return {
      AddIndex{"calls_of_workspace", "calls", {"workspace", "created_us", "id"}},
      AddIndex{"calls_of_function", "calls", {"function", "created_us", "id"}},
      AddTable{.name = "call_keys",
               .columns = {{"n", integer, yes},
                           {"workspace", text},
                           {"function", text},
                           {"key", text},
                           {"fingerprint", text},
                           {"call", text},
                           {"until_us", integer}},
               .key = {"n"},
               .unique = {{"workspace", "function", "key"}}},
      AddIndex{"call_keys_until", "call_keys", {"until_us"}},
  };
}

std::vector<Step> versions() { return {AddColumn{"calls", {"version", text, no, ""}}}; }

std::vector<Step> callbacks_of_calls() {
  return {
      AddTable{.name = "callbacks",
               .columns = {{"n", integer, yes},
                           {"call", text},
                           {"ordinal", integer},
                           {"workspace", text},
                           {"receiver", text},
                           {"sink", text},
                           {"wants", integer},
                           {"try_for_us", integer},
                           {"dialect", text},
                           {"options", bytes},
                           {"cursor", integer, no, 0},
                           {"state", integer, no, 0},
                           {"told", integer, no, 0},
                           {"tries", integer, no, 0},
                           {"failures", integer, no, 0},
                           {"due_us", integer, yes},
                           {"until_us", integer, yes},
                           {"why", text, no, ""}},
               .key = {"n"},
               .unique = {{"call", "ordinal"}}},
      AddIndex{"callbacks_due",
               "callbacks",
               {"workspace", "receiver", "due_us"},
               {{"state", Is::equal, 0}, {"due_us", Is::set}}},
      AddIndex{
          "callbacks_pending", "callbacks", {"workspace", "receiver"}, {{"state", Is::equal, 0}}},
      AddIndex{"callbacks_until",
               "callbacks",
               {"until_us"},
               {{"state", Is::equal, 0}, {"until_us", Is::set}}},
  };
}

std::vector<Step> rests() {
  return {
      AddColumn{"inputs", {"encoding", text, no, ""}},
      AddColumn{"inputs", {"rest", text, yes}},
      AddColumn{"inputs", {"rest_bytes", integer, yes}},
      AddColumn{"call_log", {"encoding", text, no, ""}},
      AddColumn{"call_log", {"rest", text, yes}},
      AddColumn{"call_log", {"rest_bytes", integer, yes}},
  };
}

std::vector<Step> charges() {
  return {
      AddColumn{"calls", {"token", text, no, ""}},
      AddTable{.name = "owed_lines",
               .columns = {{"id", text}, {"line", bytes}},
               .key = {"id"},
               .rows = store::Rows::keyed},
  };
}

}  // namespace

std::vector<store::Migration> table_steps() {
  return {{"queue", 1, first()},
          {"queue", 2, content_types()},
          {"queue", 3, times()},
          {"queue", 4, limits()},
          {"queue", 5, lists()},
          {"queue", 6, versions()},
          {"queue", 7, callbacks_of_calls()},
          {"queue", 8, rests()},
          {"queue", 9, charges()}};
}

}  // namespace thaw::queue::detail
