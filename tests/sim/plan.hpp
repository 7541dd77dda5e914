// Plan: everything that a seed decides before a world begins: sizes, pace, and when each fault
// comes. Made once, so that a trace can print it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "application.hpp"
#include "link.hpp"
#include "session/accept/registry.hpp"
#include "session/session.hpp"

namespace backedpipe::sim {

struct Fault {
  enum class Kind : std::uint8_t {
    cut,                      // the live link, each side noticing at its own time or never
    cut_after_bytes,          // the live link or, without one, the next
    freeze,                   // the live link, one direction or both, for a while or for good
    blackhole,                // the whole network for a while; dials hang
    refuse_dials,             // for a while
    hang_dials,               // for a while
    forced_reconnect,         // one to three times in a row
    distrust,                 // the client is told that its link is probably dead
    late_hello,               // the next link delivers its HELLO late
    lose_welcome,             // the next link breaks after its HELLO
    sleep,                    // one of the daemons does not run for a while
    refuse_for_now,           // the server refuses transiently for a while
    restart_client,           // with its snapshot
    restart_server,           // with its snapshot
    restart_server_forgetful  // without
  };
  Kind kind = Kind::cut;
  Duration at{};
  Duration lasts{};
  std::uint64_t number = 0;  // bytes, or times
  Side side = Side::client;
  bool both = false;
  std::optional<Duration> client_notices_after;
  std::optional<Duration> server_notices_after;
};

const char* name(Fault::Kind kind);

struct Plan {
  LinkOptions link;
  std::size_t segment_bytes = 64;
  std::size_t client_arena_bytes = 0;
  std::size_t server_arena_bytes = 0;
  SessionOptions client;
  SessionOptions server;
  RegistryOptions registry;
  Script client_script;
  Script server_script;
  std::optional<Duration> client_closed_at;  // by its operator
  std::optional<Duration> server_closed_at;
  enum class Target : std::uint8_t { accepts, refuses_at_once, refuses_later };
  Target target = Target::accepts;
  Duration target_takes{};
  // From the beginning to the end, the path swallows what is written in larger pieces than this,
  // unless the client has limited the link's segments.
  std::optional<std::size_t> swallows_over;
  std::vector<Fault> faults;  // by time
  // A daemon is killed and started again at once, when it has passed so many of its KillPoints.
  struct Kill {
    Duration at{};
    Side side = Side::client;
    std::uint64_t points = 0;
    // It parks first. The next process comes after a while.
    struct Parking {
      Duration grace{};
      Duration away{};
    };
    std::optional<Parking> parks{};
  };
  std::vector<Kill> kills;  // by time
  // The system does not count the bytes of this side's application.
  std::optional<Side> uncounted;
  Duration healed_at{};  // no fault from here on
};

// `seed`: of the same world.
Plan make_plan(Random& random, std::uint64_t seed);

}  // namespace backedpipe::sim
