// For systems without systemd's journal.
#include "daemon/journal.hpp"

namespace backedpipe {

bool writes_to_journal() {
  return false;
}

std::optional<std::string> journal_socket() {
  return std::nullopt;
}

spdlog::sink_ptr make_journal_sink(const std::string&, spdlog::sink_ptr otherwise) {
  return otherwise;
}

}  // namespace backedpipe
