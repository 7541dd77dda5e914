// Idle connections: opens them, says so, and keeps them until its input ends. Each line of input
// makes it ask for one byte on every one of them.
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "subjects.hpp"
#include "transfer.hpp"

namespace backedpipe::bench {
namespace {

// Few enough for the shortest queue of a listener.
constexpr std::size_t kTogether = 64;

void ask(const Fd& fd) {
  send_all(fd, bytes_of(std::uint8_t{0x62}));
}

void hear(const Fd& fd) {
  std::uint8_t answer = 0;
  receive_all(fd, writable_bytes_of(answer));
  if (answer != 0x62) fail("an answer is not what was asked");
}

void say(const char* what, Clock::time_point since) {
  std::printf("%s %.6f\n", what, seconds_since(since));
  std::fflush(stdout);
}

}  // namespace

void hold(const Options& options) {
  const Address to = parse_address(text_option(options, "to"));
  const auto count = static_cast<std::size_t>(number_option(options, "count", 1));
  std::vector<Fd> connections;
  auto begin = Clock::now();
  for (std::size_t heard = 0; connections.size() < count;) {
    while (connections.size() < std::min(count, heard + kTogether)) {
      connections.push_back(connect_to(to, Blocking::yes));
      send_all(connections.back(), bytes_of(Request{}));
      ask(connections.back());
    }
    for (; heard < connections.size(); ++heard)
      hear(connections[heard]);
  }
  say("ready", begin);
  for (std::string line; std::getline(std::cin, line);) {
    begin = Clock::now();
    for (const Fd& connection : connections)
      ask(connection);
    for (const Fd& connection : connections)
      hear(connection);
    say("answered", begin);
  }
}

}  // namespace backedpipe::bench
