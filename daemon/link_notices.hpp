// LinkNotices tells the user at a terminal, on standard error, what happens to the link: a line
// when it has been lost for a second, and a line when it is back. An outage that ends sooner is not
// reported. It is fed with the events of the only session, and lives on their thread.
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
  // `peer` is the peer's name for people. `connect_timeout` is how long the caller waits for the
  // first link; it is only shown.
  LinkNotices(boost::asio::io_context& io, std::string peer, Duration connect_timeout);

  void hear(const Event& event);
  // Writes nothing from now on.
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
  bool said_ = false;  // the user has been told that there is no link
  std::optional<TimePoint> away_since_;
  std::string why_;
};

// Writes `text` as one line to standard error, with control characters replaced. On a terminal it
// adds a carriage return, because ssh has put the terminal into raw mode.
void tell(std::string_view text);

// "4.2 s", "3 min 20 s", "2 h 5 min".
std::string in_words(Duration duration);

}  // namespace backedpipe
