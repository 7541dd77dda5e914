#include "link.hpp"

#include <algorithm>

namespace backedpipe::sim {
namespace {

std::optional<TimePoint> after(TimePoint now, std::optional<Duration> delay) {
  if (!delay) return std::nullopt;
  return now + *delay;
}

}  // namespace

void Link::advance(Channel& channel, TimePoint now) {
  while (channel.next_arrival < channel.arrivals.size() &&
         channel.arrivals[channel.next_arrival].at <= now) {
    channel.arrived = std::min(channel.arrivals[channel.next_arrival].end, channel.lost_from);
    ++channel.next_arrival;
  }
}

std::size_t Link::room(const Channel& channel) const {
  const std::size_t waiting = channel.bytes.size() - channel.read;
  return options_.buffer_bytes - std::min(options_.buffer_bytes, waiting);
}

bool Link::writable(Side side, TimePoint now) const {
  const Channel& channel = channels_[static_cast<std::size_t>(side)];
  return room(channel) > 0 && !(channel.blocked_until && *channel.blocked_until > now);
}

std::size_t Link::write(Side side, ConstBytes bytes, TimePoint now) {
  Channel& channel = from(side);
  if (channel.blocked_until && *channel.blocked_until > now) return 0;
  channel.blocked_until.reset();
  std::size_t count = std::min(room(channel), bytes.size());
  if (count > 1 && random_.chance(30)) count = random_.between(1, count);
  if (random_.chance(options_.blocked_percent)) {
    channel.blocked_until =
        now + random_.between(std::chrono::microseconds(1), std::chrono::milliseconds(5));
  }
  if (count == 0) return 0;

  channel.bytes.insert(channel.bytes.end(), bytes.begin(),
                       bytes.begin() + static_cast<std::ptrdiff_t>(count));
  // In one piece or in two, cut anywhere.
  const std::size_t end = channel.bytes.size();
  const std::size_t middle = end - random_.between(0, count - 1);
  for (const std::size_t piece : {middle, end}) {
    const auto on_the_wire =
        Duration(std::int64_t{1'000'000'000} * static_cast<std::int64_t>(count) /
                 static_cast<std::int64_t>(options_.bytes_per_second));
    channel.last_at =
        std::max({channel.last_at, now + options_.latency + on_the_wire, channel.frozen_until});
    channel.arrivals.push_back({channel.last_at, piece});
    if (piece == end) break;
  }

  if (channel.cut_at && end >= *channel.cut_at && !cut_) {
    const std::size_t kept = *channel.cut_at;
    const CutAfter& how = channel.cut;
    cut({after(now, how.client_notices_after), after(now, how.server_notices_after)}, now);
    channel.lost_from = kept;
  }
  return count;
}

ConstBytes Link::readable(Side at, TimePoint now) {
  Channel& channel = from(other(at));
  advance(channel, now);
  return ConstBytes(channel.bytes).subspan(channel.read, channel.arrived - channel.read);
}

void Link::take(Side at, std::size_t count) {
  from(other(at)).read += count;
}

bool Link::over(Side at, TimePoint now) {
  Channel& channel = from(other(at));
  if (!channel.over_at || *channel.over_at > now) return false;
  advance(channel, now);
  return channel.drops_unread || channel.read == channel.arrived;
}

bool Link::empty() const {
  return std::all_of(channels_.begin(), channels_.end(),
                     [](const Channel& channel) { return channel.read == channel.bytes.size(); });
}

std::optional<TcpAnswer> Link::tcp_answer(Side at, TimePoint now) {
  if (cut_ || from(other(at)).frozen_until > now) return std::nullopt;
  Channel& out = from(at);
  std::optional<TimePoint> heard;
  for (; out.next_acknowledged < out.arrivals.size(); ++out.next_acknowledged) {
    const TimePoint acknowledged = out.arrivals[out.next_acknowledged].at + options_.latency;
    if (acknowledged > now || out.arrivals[out.next_acknowledged].end > out.lost_from) break;
    heard = acknowledged;
  }
  if (!heard) return std::nullopt;
  return TcpAnswer{.at = *heard, .round_trip = 2 * options_.latency};
}

void Link::lose(Channel& channel, std::size_t from, std::optional<TimePoint> notice) {
  channel.lost_from = std::min(channel.lost_from, from);
  channel.drops_unread = true;
  if (notice && (!channel.over_at || *notice < *channel.over_at)) channel.over_at = notice;
}

void Link::close(Side by, TimePoint now) {
  Channel& out = from(by);
  if (cut_ || out.over_at) return;
  advance(out, now);
  // With a FIN after the data, or with a RST that may overtake the data.
  if (random_.chance(30)) {
    out.lost_from = std::min(out.lost_from, random_.between(out.arrived, out.bytes.size()));
    out.drops_unread = random_.chance(50);
  }
  out.over_at = std::max({out.last_at, now + options_.latency, out.frozen_until});
}

void Link::cut(const Notice& notice, TimePoint now) {
  if (cut_) return;
  cut_ = true;
  for (const Side side : {Side::client, Side::server}) {
    Channel& channel = from(side);
    advance(channel, now);
    lose(channel, random_.between(channel.arrived, channel.bytes.size()),
         side == Side::client ? notice.server : notice.client);
  }
}

void Link::cut_after(Side side, const CutAfter& cut) {
  Channel& channel = from(side);
  channel.cut_at = channel.bytes.size() + cut.count;
  channel.cut = cut;
}

void Link::swallow(Side side) {
  Channel& channel = from(side);
  channel.lost_from = std::min(channel.lost_from, channel.bytes.size());
}

void Link::freeze(Side side, TimePoint now, TimePoint until) {
  Channel& channel = from(side);
  advance(channel, now);
  channel.frozen_until = std::max(channel.frozen_until, until);
  for (std::size_t i = channel.next_arrival; i < channel.arrivals.size(); ++i) {
    channel.arrivals[i].at = std::max(channel.arrivals[i].at, until);
  }
  if (channel.over_at && *channel.over_at > now) {
    channel.over_at = std::max(*channel.over_at, until);
  }
  channel.last_at = std::max(channel.last_at, until);
}

std::optional<TimePoint> Link::next_event(TimePoint now) {
  std::optional<TimePoint> next;
  for (Channel& channel : channels_) {
    // Advanced here, because the reader may be gone.
    advance(channel, now);
    if (channel.next_arrival < channel.arrivals.size() && channel.arrived < channel.lost_from) {
      next = earlier(next, channel.arrivals[channel.next_arrival].at);
    }
    if (channel.over_at && *channel.over_at > now) next = earlier(next, channel.over_at);
    if (channel.blocked_until && *channel.blocked_until > now) {
      next = earlier(next, channel.blocked_until);
    }
  }
  return next;
}

}  // namespace backedpipe::sim
