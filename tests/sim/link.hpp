// Link: one TCP connection between the two daemons, as their sockets show it, with all its faults.
// Two byte queues with latency, rate and a limited buffer; for a while, a write may take only a
// part or nothing. Keeps all bytes ever written to it, because worlds are small.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "pipe/ring_buffer.hpp"
#include "pipe/time.hpp"
#include "random.hpp"
#include "session/liveness.hpp"

namespace backedpipe::sim {

enum class Side : std::uint8_t { client, server };

constexpr Side other(Side side) {
  return side == Side::client ? Side::server : Side::client;
}
constexpr const char* name(Side side) {
  return side == Side::client ? "client" : "server";
}

struct LinkOptions {
  Duration latency{};
  std::uint64_t bytes_per_second = 1'000'000;
  std::size_t buffer_bytes = 4096;
  unsigned blocked_percent = 0;  // how often a write is followed by a pause
};

// When each side learns that a link is gone; nothing: never on its own.
struct Notice {
  std::optional<TimePoint> client;
  std::optional<TimePoint> server;
};

class Link {
 public:
  Link(const LinkOptions& options, Random& random) : options_(options), random_(random) {}

  // --- what a socket can do

  // Returns how many bytes were taken; 0 when it would block.
  std::size_t write(Side from, ConstBytes bytes, TimePoint now);
  // A write would not block.
  bool writable(Side from, TimePoint now) const;
  // Bytes that have arrived and were not taken yet.
  ConstBytes readable(Side at, TimePoint now);
  void take(Side at, std::size_t count);
  // The end or an error has reached this side, and everything readable has been read or is lost.
  bool over(Side at, TimePoint now);
  void close(Side by, TimePoint now);
  // Everything ever written has been read, on both sides.
  bool empty() const;
  // What TCP itself has heard since the previous call: see TcpWitness.
  std::optional<TcpAnswer> tcp_answer(Side at, TimePoint now);

  // --- faults

  // Bytes still on their way never arrive.
  void cut(const Notice& notice, TimePoint now);
  // As cut(), once `from` has written `count` more bytes; these still arrive. The delays of the
  // notice count from then on.
  struct CutAfter {
    std::size_t count = 0;
    std::optional<Duration> client_notices_after;
    std::optional<Duration> server_notices_after;
  };
  void cut_after(Side from, const CutAfter& cut);
  // What `from` sends from now on never arrives, and nobody is told: a packet that is too large for
  // the path, which TCP repeats for ever.
  void swallow(Side from);
  // Bytes that `from` sends arrive no earlier than `until`.
  void freeze(Side from, TimePoint now, TimePoint until);

  // The time of the next event on this link.
  std::optional<TimePoint> next_event(TimePoint now);

 private:
  struct Arrival {
    TimePoint at;
    std::size_t end;
  };
  // One direction.
  struct Channel {
    std::vector<std::byte> bytes;
    std::vector<Arrival> arrivals;
    std::size_t next_arrival = 0;
    std::size_t next_acknowledged = 0;  // of the arrivals
    std::size_t arrived = 0;
    std::size_t read = 0;
    std::size_t lost_from = SIZE_MAX;  // bytes from here on never arrive
    TimePoint last_at{};
    TimePoint frozen_until{};
    std::optional<TimePoint> blocked_until;
    std::optional<TimePoint> over_at;  // the reader learns that no more bytes come
    bool drops_unread = false;
    std::optional<std::size_t> cut_at;
    CutAfter cut;
  };

  Channel& from(Side side) { return channels_[static_cast<std::size_t>(side)]; }
  std::size_t room(const Channel& channel) const;
  static void advance(Channel& channel, TimePoint now);
  void lose(Channel& channel, std::size_t from, std::optional<TimePoint> notice);

  LinkOptions options_;
  Random& random_;
  std::array<Channel, 2> channels_;
  bool cut_ = false;
};

}  // namespace backedpipe::sim
