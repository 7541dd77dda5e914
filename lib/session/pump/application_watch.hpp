// ApplicationWatch: notices that an application's system is gone while bytes to it are under way.
// TCP itself repeats such bytes for a quarter of an hour, and sends no keepalive probes meanwhile.
// TCP_USER_TIMEOUT would end that sooner, but also ends a connection whose application merely reads
// nothing. So the watch looks at what is unanswered, a while after bytes were sent.
//
// Without I/O, time is an argument. Owned by a SessionPump.
#pragma once

#include <optional>

#include "pipe/time.hpp"
#include "session/pump/ends.hpp"

namespace backedpipe {

class ApplicationWatch {
 public:
  // `patience`: how long an application's system may answer nothing; nothing: for ever.
  explicit ApplicationWatch(std::optional<Duration> patience) : patience_(patience) {}

  // Bytes, or the end of the stream, were given to the application's connection.
  void sent(TimePoint now);
  // When to look(); nothing while there is nothing to look for.
  std::optional<TimePoint> due() const { return due_; }
  // `unanswered` is what the connection owes now. True: the application's system is gone.
  [[nodiscard]] bool look(const std::optional<Unanswered>& unanswered, TimePoint now);

 private:
  std::optional<Duration> patience_;
  std::optional<TimePoint> due_;
};

}  // namespace backedpipe
