// A relay with as little in it as one can have: the lower bound of what a proxy with one thread
// costs, and a path that can be cut. "cut" on its input resets all connections and refuses new
// ones, "heal" accepts again.
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <unordered_set>
#include <vector>

#include "pattern.hpp"
#include "socket.hpp"
#include "subjects.hpp"

namespace backedpipe::bench {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{64} << 10;

// One of the two sockets of a connection; what it could not send waits in `unsent`, and its peer is
// not read.
struct Side {
  Fd fd;
  Side* peer = nullptr;
  struct Pair* pair = nullptr;
  std::vector<std::byte> unsent;
  std::uint32_t events = 0;
  bool source_ended = false;  // the peer has ended its stream; pass that on behind what is unsent
  bool read_ended = false;
  bool end_sent = false;
};

struct Pair {
  Side near, far;
};

class Relay {
 public:
  Relay(const Address& listen, const Address& to)
      : listen_(listen), to_(to), listener_(listen_on(listen)), buffer_(kBufferBytes) {
    listen_.port = htons_port(port_of(listener_));
    poller_.add(listener_, EPOLLIN, &listener_);
    poller_.add(input_, EPOLLIN, &input_);
  }

  std::uint16_t port() const { return port_of(listener_); }

  void run() {
    while (true) {
      dead_.clear();
      for (const epoll_event& event : poller_.wait()) {
        if (event.data.ptr == &listener_)
          accept();
        else if (event.data.ptr == &input_)
          command();
        else
          forward(*static_cast<Side*>(event.data.ptr), event.events);
      }
    }
  }

 private:
  static std::uint16_t htons_port(std::uint16_t port) {
    return static_cast<std::uint16_t>((port << 8) | (port >> 8));
  }

  void accept() {
    while (Fd fd = accept_from(listener_)) {
      auto pair = std::make_unique<Pair>();
      pair->near.fd = std::move(fd);
      pair->far.fd = connect_to(to_, Blocking::no);
      pair->near.peer = &pair->far;
      pair->far.peer = &pair->near;
      for (Side* side : {&pair->near, &pair->far}) {
        side->pair = pair.get();
        side->events = EPOLLIN;
        poller_.add(side->fd, EPOLLIN, side);
      }
      pairs_.insert(pair.release());
    }
  }

  void command() {
    char text[64];
    const ssize_t count = ::read(input_.get(), text, sizeof text);
    if (count <= 0) std::exit(0);
    if (text[0] == 'c') {
      listener_.reset();
      while (!pairs_.empty())
        close(**pairs_.begin(), true);
    } else if (!listener_) {
      listener_ = listen_on(listen_);
      poller_.add(listener_, EPOLLIN, &listener_);
    }
    std::printf("done\n");
    std::fflush(stdout);
  }

  void forward(Side& side, std::uint32_t ready) {
    if (dead_.count(side.pair) != 0) return;
    bool failed = false;
    if ((ready & EPOLLOUT) != 0) flush(side, failed);
    if ((ready & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !side.read_ended &&
        side.peer->unsent.empty())
      receive(side, failed);
    if (failed || (side.end_sent && side.peer->end_sent)) {
      close(*side.pair, failed);
      return;
    }
    update(side);
    update(*side.peer);
  }

  void receive(Side& side, bool& failed) {
    Side& to = *side.peer;
    bool ended = false;
    const std::size_t count = receive_some(side.fd, buffer_, ended);
    if (count > 0) {
      const std::size_t sent = send_some(to.fd, std::span(buffer_).first(count), failed);
      to.unsent.assign(buffer_.begin() + static_cast<std::ptrdiff_t>(sent),
                       buffer_.begin() + static_cast<std::ptrdiff_t>(count));
    }
    if (!ended) return;
    side.read_ended = to.source_ended = true;
    end_if_due(to);
  }

  void flush(Side& side, bool& failed) {
    if (!side.unsent.empty()) {
      const std::size_t sent = send_some(side.fd, side.unsent, failed);
      side.unsent.erase(side.unsent.begin(),
                        side.unsent.begin() + static_cast<std::ptrdiff_t>(sent));
    }
    end_if_due(side);
  }

  static void end_if_due(Side& side) {
    if (!side.source_ended || side.end_sent || !side.unsent.empty()) return;
    ::shutdown(side.fd.get(), SHUT_WR);
    side.end_sent = true;
  }

  void update(Side& side) {
    const std::uint32_t wanted = (side.unsent.empty() ? 0U : EPOLLOUT) |
                                 (side.read_ended || !side.peer->unsent.empty() ? 0U : EPOLLIN);
    if (wanted == side.events) return;
    side.events = wanted;
    poller_.change(side.fd, wanted, &side);
  }

  void close(Pair& pair, bool with_reset) {
    if (with_reset) {
      reset_on_close(pair.near.fd);
      reset_on_close(pair.far.fd);
    }
    pairs_.erase(&pair);
    pair.near.fd.reset();
    pair.far.fd.reset();
    // Events of this turn may still name it.
    dead_.emplace(&pair, std::unique_ptr<Pair>(&pair));
  }

  Address listen_, to_;
  Fd listener_;
  Fd input_{STDIN_FILENO};
  std::vector<std::byte> buffer_;
  Poller poller_;
  std::unordered_set<Pair*> pairs_;
  std::map<Pair*, std::unique_ptr<Pair>> dead_;
};

}  // namespace

void relay(const Options& options) {
  Relay relay(parse_address(text_option(options, "listen")),
              parse_address(text_option(options, "to")));
  std::printf("%u\n", unsigned{relay.port()});
  std::fflush(stdout);
  relay.run();
}

}  // namespace backedpipe::bench
