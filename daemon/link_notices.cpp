#include "daemon/link_notices.hpp"

#include <cstdio>
#include <unistd.h>
#include <utility>

namespace backedpipe {
namespace {

constexpr Duration kGrace = std::chrono::seconds(1);

TimePoint now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

LinkNotices::LinkNotices(boost::asio::io_context& io, std::string peer, Duration connect_timeout)
    : peer_(std::move(peer)), connect_timeout_(connect_timeout), timer_(io) {}

void LinkNotices::hear(const Event& event) {
  switch (event.kind) {
    case Event::Kind::attach:
    case Event::Kind::takeover:
      return back();
    case Event::Kind::detach:
      return lost(event.reason == "takeover" ? "it does not answer" : event.detail);
    case Event::Kind::peer_down:
      if (!linked_) lost(event.detail);
      return;
    case Event::Kind::close:
      return silence();
    case Event::Kind::open:
    case Event::Kind::peer_up:
    case Event::Kind::parked:
    case Event::Kind::restored:
      return;
  }
}

void LinkNotices::silence() {
  silent_ = true;
  timer_.cancel();
}

void LinkNotices::lost(std::string why) {
  if (silent_ || away_since_) return;
  why_ = std::move(why);
  away_since_ = now();
  timer_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(kGrace));
  timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (!cancelled) say_lost();
  });
}

void LinkNotices::say_lost() {
  // The handler may already have been queued when the link came back.
  if (silent_ || !away_since_) return;
  said_ = true;
  if (linked_) {
    tell("link to " + peer_ + " lost (" + why_ + "); reconnecting");
  } else {
    tell("no link to " + peer_ + " yet (" + why_ + "); trying for " + in_words(connect_timeout_));
  }
}

void LinkNotices::back() {
  timer_.cancel();
  if (std::exchange(said_, false) && !silent_) {
    const std::string after = " after " + in_words(now() - *away_since_);
    tell(linked_ ? "link is back" + after : "link to " + peer_ + " made" + after);
  }
  linked_ = true;
  away_since_.reset();
}

void tell(std::string_view text) {
  std::string line = "backedpipd: ";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    line += byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  line += ::isatty(STDERR_FILENO) != 0 ? "\r\n" : "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

std::string in_words(Duration duration) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  const auto two = [](auto large, const char* unit, auto small, const char* smaller) {
    return std::to_string(large) + unit + (small == 0 ? "" : " " + std::to_string(small) + smaller);
  };
  if (seconds >= 3600) return two(seconds / 3600, " h", seconds / 60 % 60, " min");
  if (seconds >= 60) return two(seconds / 60, " min", seconds % 60, " s");
  const auto tenths =
      std::chrono::duration_cast<std::chrono::duration<long, std::deci>>(duration).count();
  return std::to_string(tenths / 10) + (tenths % 10 == 0 ? "" : "." + std::to_string(tenths % 10)) +
         " s";
}

}  // namespace backedpipe
