// Messages that are echoed, one at a time on each connection: with one connection that is the round
// trip, with many the requests a second. Each message has other content, and each answer is
// checked.
#include <cerrno>
#include <memory>
#include <vector>

#include "latencies.hpp"
#include "subjects.hpp"
#include "transfer.hpp"

namespace backedpipe::bench {
namespace {

// Before anything is measured: connections are there, buffers are warm.
constexpr std::size_t kWarmUp = 50;

class Conversation {
 public:
  Conversation(const Address& to, std::uint64_t stream, std::size_t bytes)
      : stream_(stream), bytes_(bytes), fd_(connect_to(to, Blocking::yes)) {
    send_all(fd_, bytes_of(Request{Request::Mode::echo, stream, 0, 0}));
  }

  const Fd& fd() const { return fd_; }

  void ask(const Pattern& pattern) {
    received_ = 0;
    begin_ = Clock::now();
    send_all(fd_, pattern.at(stream_, offset_, bytes_));
  }

  // Some of the answer is there. True once it is whole.
  bool hear(const Pattern& pattern, std::span<std::byte> buffer) {
    bool ended = false;
    errno = 0;
    const std::size_t count = receive_some(fd_, buffer.first(bytes_ - received_), ended);
    if (ended) fail("a conversation ended early");
    if (!pattern.matches(stream_, offset_, buffer.first(count)))
      fail("an answer is not what was asked");
    received_ += count;
    offset_ += count;
    return received_ == bytes_;
  }

  Clock::duration took() const { return Clock::now() - begin_; }

 private:
  std::uint64_t stream_;
  std::size_t bytes_;
  Fd fd_;
  std::uint64_t offset_ = 0;
  std::size_t received_ = 0;
  Clock::time_point begin_;
};

}  // namespace

void exchange(const Options& options) {
  const Address to = parse_address(text_option(options, "to"));
  const auto count = static_cast<std::size_t>(number_option(options, "connections", 1));
  const auto bytes = static_cast<std::size_t>(number_option(options, "bytes", 1));
  if (bytes > kChunkBytes) fail("--bytes is too much");

  const Pattern pattern;
  std::vector<std::byte> buffer(bytes);
  std::vector<std::unique_ptr<Conversation>> conversations;
  Poller poller;
  for (std::size_t i = 0; i < count; ++i) {
    conversations.push_back(std::make_unique<Conversation>(to, i, bytes));
    poller.add(conversations.back()->fd(), EPOLLIN, conversations.back().get());
  }
  for (std::size_t i = 0; i < kWarmUp; ++i) {
    for (const auto& conversation : conversations)
      conversation->ask(pattern);
    for (const auto& conversation : conversations)
      while (!conversation->hear(pattern, buffer)) {
      }
  }

  Latencies latencies;
  const Until until(number_option(options, "seconds", 1), number_option(options, "count", 0));
  if (count == 1) {
    Conversation& only = *conversations.front();
    while (!until.over(latencies.count())) {
      only.ask(pattern);
      while (!only.hear(pattern, buffer)) {
      }
      latencies.add(only.took());
    }
  } else {
    for (const auto& conversation : conversations)
      conversation->ask(pattern);
    while (!until.over(latencies.count())) {
      for (const epoll_event& event : poller.wait()) {
        auto& conversation = *static_cast<Conversation*>(event.data.ptr);
        if (!conversation.hear(pattern, buffer)) continue;
        latencies.add(conversation.took());
        conversation.ask(pattern);
      }
    }
  }
  latencies.print(until.elapsed());
}

}  // namespace backedpipe::bench
