// The target: one thread, as many connections as there are descriptors.
#include <cstdio>
#include <memory>
#include <optional>
#include <vector>

#include "subjects.hpp"
#include "transfer.hpp"

namespace backedpipe::bench {
namespace {

// The buffer that all connections receive into; what must be kept is copied.
using Buffer = std::vector<std::byte>;

class Connection {
 public:
  explicit Connection(Fd fd) : fd_(std::move(fd)) {}

  const Fd& fd() const { return fd_; }

  // The socket is ready; false at the end.
  bool run(std::uint32_t ready, const Pattern& pattern, Buffer& buffer) {
    bool ended = false;
    if (request_used_ < sizeof request_) {
      request_used_ += receive_some(fd_, writable_bytes_of(request_).subspan(request_used_), ended);
      if (request_used_ < sizeof request_) return !ended;
      if (request_.mode == Request::Mode::bulk)
        transfer_.emplace(pattern, request_.stream,
                          Transfer::Sizes{request_.down_bytes, request_.up_bytes});
    }
    if (transfer_)
      run_transfer(ready, buffer, ended);
    else
      run_echo(buffer, ended);
    return !ended;
  }

  std::uint32_t wanted_events() const {
    if (request_used_ < sizeof request_) return EPOLLIN;
    if (!transfer_) return unsent_.empty() ? EPOLLIN : EPOLLOUT;
    const bool sends = !transfer_->all_sent() || (verdict_due() && !verdict_sent_);
    return (sends ? EPOLLOUT : 0U) | EPOLLIN;
  }
  std::uint32_t events = EPOLLIN;

 private:
  // A wrong byte decides at once: what is missing may never come.
  bool verdict_due() const { return transfer_->all_received() || !transfer_->matches(); }

  void run_echo(Buffer& buffer, bool& ended) {
    if (unsent_.empty()) {
      const std::size_t received = receive_some(fd_, buffer, ended);
      const std::size_t sent =
          received > 0 ? send_some(fd_, std::span(buffer).first(received), ended) : 0;
      unsent_.assign(buffer.begin() + static_cast<std::ptrdiff_t>(sent),
                     buffer.begin() + static_cast<std::ptrdiff_t>(received));
    } else {
      const std::size_t sent = send_some(fd_, unsent_, ended);
      unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(sent));
    }
  }

  void run_transfer(std::uint32_t ready, Buffer& buffer, bool& ended) {
    if ((ready & EPOLLIN) != 0) {
      // Behind the last byte, readable means the end.
      if (transfer_->all_received())
        receive_some(fd_, buffer, ended);
      else
        transfer_->receive(fd_, buffer, ended);
    }
    if (!transfer_->all_sent()) {
      if ((ready & EPOLLOUT) != 0) transfer_->send(fd_, ended);
    } else if (verdict_due() && !verdict_sent_) {
      const Verdict verdict{transfer_->received(), transfer_->matches() ? 1U : 0U};
      verdict_sent_ = send_some(fd_, bytes_of(verdict), ended) == sizeof verdict;
    }
  }

  Fd fd_;
  Request request_;
  std::size_t request_used_ = 0;
  std::optional<Transfer> transfer_;
  bool verdict_sent_ = false;
  std::vector<std::byte> unsent_;  // of an echo
};

}  // namespace

void serve(const Options& options) {
  const auto listen = options.find("listen");
  const Fd listener =
      listen_on(parse_address(listen == options.end() ? "127.0.0.1:0" : listen->second));
  std::printf("%u\n", unsigned{port_of(listener)});
  std::fflush(stdout);

  const Pattern pattern;
  Buffer buffer(kChunkBytes);
  Poller poller;
  poller.add(listener, EPOLLIN, nullptr);
  while (true) {
    for (const epoll_event& event : poller.wait()) {
      if (event.data.ptr == nullptr) {
        while (Fd fd = accept_from(listener)) {
          auto connection = std::make_unique<Connection>(std::move(fd));
          poller.add(connection->fd(), EPOLLIN, connection.get());
          connection.release();  // belongs to the poller from here on
        }
        continue;
      }
      std::unique_ptr<Connection> connection(static_cast<Connection*>(event.data.ptr));
      if (!connection->run(event.events, pattern, buffer)) continue;
      if (const std::uint32_t wanted = connection->wanted_events(); wanted != connection->events) {
        connection->events = wanted;
        poller.change(connection->fd(), wanted, connection.get());
      }
      connection.release();
    }
  }
}

}  // namespace backedpipe::bench
