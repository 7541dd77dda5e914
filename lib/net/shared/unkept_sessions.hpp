// UnkeptSessions: sessions that will end with this process, although the next one continues the
// others. The log says why and what helps, in a line a second at most for each reason. One for the
// process; used from any thread.
#pragma once

#include <array>
#include <cstdint>

#include <boost/asio/io_context.hpp>

#include "net/events/repeated_warning.hpp"
#include "proto/session_id.hpp"

namespace backedpipe {

class UnkeptSessions {
 public:
  enum class Why : std::uint8_t {
    no_connection,  // the vault takes no more
    no_record,      // the ledger has none left
    no_names,       // the ledger has no room for its names
  };

  // Its timers run on `home`.
  explicit UnkeptSessions(boost::asio::io_context& home);

  void add(Why why, const SessionId& session);

 private:
  boost::asio::io_context& home_;
  std::array<RepeatedWarning, 3> warnings_;  // by reason
};

}  // namespace backedpipe
