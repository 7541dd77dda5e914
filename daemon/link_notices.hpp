// LinkNotices tells whoever waits at a terminal what has become of the link, on standard error: a
// line when it has been away for a second, and a line when it is back. What heals sooner is not
// worth a line. Fed with the events of the one session there is; on their thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "control/event.hpp"
#include "pipe/time.hpp"

namespace backedpipe {

class LinkNotices {
 public:
  // `peer` is what people call it. A first link is waited for so long as `connect_timeout`.
  LinkNotices(boost::asio::io_context& io, std::string peer, Duration connect_timeout);

  void hear(const Event& event);
  // From now on nothing is said.
  void silence();

 private:
  void lost(std::string why);
  void back();
  void say_lost();

  std::string peer_;
  Duration connect_timeout_;
  boost::asio::steady_timer timer_;
  bool silent_ = false;
  bool linked_ = false;
  bool said_ = false;  // that there is none
  std::optional<TimePoint> away_since_;
  std::string why_;
};

// One line on standard error, whatever is in `text`. With a carriage return on a terminal: ssh has
// made it a raw one.
void tell(std::string_view text);

// "4.2 s", "3 min 20 s", "2 h 5 min".
std::string in_words(Duration duration);

}  // namespace backedpipe
