// New connections, several under way at once; each asks for the echo of one byte and is closed once
// that is there, so that it counts only if it reached the target and back.
#include <cerrno>
#include <memory>
#include <vector>

#include "latencies.hpp"
#include "subjects.hpp"
#include "transfer.hpp"

namespace backedpipe::bench {
namespace {

struct Attempt {
  Fd fd;
  Clock::time_point begin;
  bool asked = false;
};

void start(Attempt& attempt, const Address& to, Poller& poller) {
  attempt.begin = Clock::now();
  attempt.fd = connect_to(to, Blocking::no);
  attempt.asked = false;
  poller.add(attempt.fd, EPOLLOUT, &attempt);
}

// True once the byte is back.
bool run(Attempt& attempt, Poller& poller) {
  bool ended = false;
  errno = 0;
  if (!attempt.asked) {
    struct {
      Request request;
      std::uint64_t message = 0x62;
    } const first;
    const auto bytes = bytes_of(first).first(sizeof(Request) + 1);
    if (send_some(attempt.fd, bytes, ended) != bytes.size())
      fail("a new connection was not accepted");
    attempt.asked = true;
    poller.change(attempt.fd, EPOLLIN, &attempt);
    return false;
  }
  std::byte answer{};
  if (receive_some(attempt.fd, std::span(&answer, 1), ended) == 1) return true;
  if (ended) fail("a new connection ended early");
  return false;
}

}  // namespace

void connections(const Options& options) {
  const Address to = parse_address(text_option(options, "to"));
  std::vector<Attempt> attempts(static_cast<std::size_t>(number_option(options, "parallel", 16)));
  Poller poller;
  Latencies latencies;
  const Until until(number_option(options, "seconds", 1), number_option(options, "count", 0));
  for (Attempt& attempt : attempts)
    start(attempt, to, poller);
  while (!until.over(latencies.count())) {
    const auto ready = poller.wait(60000);
    errno = 0;
    if (ready.empty()) fail("no new connection for a minute");
    for (const epoll_event& event : ready) {
      auto& attempt = *static_cast<Attempt*>(event.data.ptr);
      if (!run(attempt, poller)) continue;
      latencies.add(Clock::now() - attempt.begin);
      start(attempt, to, poller);
    }
  }
  latencies.print(until.elapsed());
}

}  // namespace backedpipe::bench
