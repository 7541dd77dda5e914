// Log lines as entries of systemd's journal. Their subject is in fields of the entry, so that
// "journalctl BACKEDPIPE_SESSION=…" shows the lines of one session. The journal takes entries as
// datagrams, see https://systemd.io/JOURNAL_NATIVE_PROTOCOL/.
#pragma once

#include <optional>
#include <string>

#include <spdlog/common.h>

namespace backedpipe {

// The priority of syslog(3) as a digit.
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

// The socket at which the journal behind standard error takes entries; none if standard error is no
// journal, or one that takes only lines.
std::optional<std::string> journal_socket();

// Sends each line to the socket `path`, as an entry with the fields of subject_of_lines(). A line
// that cannot be sent, because it is too large or the journal is not there, goes to `otherwise`,
// without fields.
spdlog::sink_ptr make_journal_sink(const std::string& path, spdlog::sink_ptr otherwise);

}  // namespace backedpipe
