// Lines as entries of systemd's journal, with what they are about in fields of their own, so that
// "journalctl BACKEDPIPE_SESSION=…" tells one session's story. It is spoken to by datagrams, see
// https://systemd.io/JOURNAL_NATIVE_PROTOCOL/.
#pragma once

#include <optional>
#include <string>

#include <spdlog/common.h>

namespace backedpipe {

// As in syslog(3), a digit.
constexpr char journal_priority(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::critical:
      return '2';
    case spdlog::level::err:
      return '3';
    case spdlog::level::warn:
      return '4';
    case spdlog::level::info:
      return '6';
    default:
      return '7';
  }
}

// Whether standard error is the journal itself.
bool writes_to_journal();

// Where the journal that standard error writes to takes entries; empty if that is not a journal, or
// one that takes lines only.
std::optional<std::string> journal_socket();

// Sends each line there, as an entry with the fields of subject_of_lines(). What cannot be sent,
// because it is too large or the journal is not there, goes to `otherwise`, without fields.
spdlog::sink_ptr make_journal_sink(const std::string& path, spdlog::sink_ptr otherwise);

}  // namespace backedpipe
