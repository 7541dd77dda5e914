#include "net/shared/unkept_sessions.hpp"

#include <cstddef>
#include <string>

#include <boost/asio/post.hpp>

namespace backedpipe {

UnkeptSessions::UnkeptSessions(boost::asio::io_context& home)
    : home_(home),
      warnings_{
          RepeatedWarning(
              home,
              "a session will end with this process, because the system lets it keep no "
              "more connections open; raise LimitNOFILE in its systemd unit, or \"ulimit "
              "-n\" before it starts"),
          RepeatedWarning(home,
                          "a session will end with this process, because limits.max_sessions has "
                          "been raised since it started, and there is no record left; restart it "
                          "when it has few sessions"),
          RepeatedWarning(
              home,
              "a session will end with this process, because its thread has sessions of "
              "too many identities to record them all; set more workers")} {}

void UnkeptSessions::add(Why why, const SessionId& session) {
  boost::asio::post(home_, [this, why, session] {
    warnings_[static_cast<std::size_t>(why)].add("session " + to_string(session));
  });
}

}  // namespace backedpipe
