// Bulk: the load's side of checked streams, all in one thread.
#include <cerrno>
#include <cstdio>
#include <memory>
#include <vector>

#include "subjects.hpp"
#include "transfer.hpp"

namespace backedpipe::bench {
namespace {

constexpr int kStallMs = 60000;

class Stream {
 public:
  Stream(const Address& to, const Pattern& pattern, const Request& request)
      : fd_(connect_to(to, Blocking::no)),
        request_(request),
        transfer_(pattern, request.stream, Transfer::Sizes{request.up_bytes, request.down_bytes}) {}

  const Fd& fd() const { return fd_; }

  // True once the verdict is there.
  bool run(std::uint32_t ready, std::span<std::byte> buffer) {
    bool ended = false;
    errno = 0;
    if ((ready & EPOLLOUT) != 0) {
      if (request_sent_ < sizeof request_)
        request_sent_ += send_some(fd_, bytes_of(request_).subspan(request_sent_), ended);
      if (request_sent_ == sizeof request_ && !transfer_.all_sent()) transfer_.send(fd_, ended);
    }
    if ((ready & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
      if (!transfer_.all_received()) {
        transfer_.receive(fd_, buffer, ended);
        if (!transfer_.matches()) fail("what came from the target is not what it sent");
      } else if (verdict_used_ < sizeof verdict_) {
        verdict_used_ +=
            receive_some(fd_, writable_bytes_of(verdict_).subspan(verdict_used_), ended);
      }
    }
    if (verdict_used_ == sizeof verdict_) {
      errno = 0;
      if (verdict_.matches != 1 || verdict_.received_bytes != request_.up_bytes)
        fail("what came to the target is not what was sent");
      return true;
    }
    if (ended) fail("a bulk stream ended early");
    return false;
  }

  std::uint32_t wanted_events() const {
    return (transfer_.all_sent() && request_sent_ == sizeof request_ ? 0U : EPOLLOUT) | EPOLLIN;
  }
  std::uint32_t events = EPOLLOUT;

 private:
  Fd fd_;
  Request request_;
  std::size_t request_sent_ = 0;
  Transfer transfer_;
  Verdict verdict_;
  std::size_t verdict_used_ = 0;
};

}  // namespace

void bulk(const Options& options) {
  const Address to = parse_address(text_option(options, "to"));
  const auto count = static_cast<std::uint64_t>(number_option(options, "streams", 1));
  const auto up = static_cast<std::uint64_t>(number_option(options, "up", 0));
  const auto down = static_cast<std::uint64_t>(number_option(options, "down", 0));

  const Pattern pattern;
  std::vector<std::byte> buffer(kChunkBytes);
  Poller poller;
  std::vector<std::unique_ptr<Stream>> streams;
  const auto begin = Clock::now();
  for (std::uint64_t i = 0; i < count; ++i) {
    const Request request{Request::Mode::bulk, i, up / count, down / count};
    streams.push_back(std::make_unique<Stream>(to, pattern, request));
    poller.add(streams.back()->fd(), EPOLLOUT, streams.back().get());
  }
  for (std::size_t left = streams.size(); left > 0;) {
    const auto ready = poller.wait(kStallMs);
    errno = 0;
    if (ready.empty()) fail("nothing has moved for a minute");
    for (const epoll_event& event : ready) {
      auto& stream = *static_cast<Stream*>(event.data.ptr);
      if (stream.run(event.events, buffer)) {
        poller.change(stream.fd(), 0, &stream);
        --left;
        continue;
      }
      if (const std::uint32_t wanted = stream.wanted_events(); wanted != stream.events) {
        stream.events = wanted;
        poller.change(stream.fd(), wanted, &stream);
      }
    }
  }
  const double seconds = seconds_since(begin);
  const std::uint64_t bytes = (up / count + down / count) * count;
  std::printf("{\"bytes\": %llu, \"seconds\": %.6f}\n", static_cast<unsigned long long>(bytes),
              seconds);
}

}  // namespace backedpipe::bench
