#include "net/application/stdio_bridge.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <future>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <boost/asio/post.hpp>

#include "net/shared/mutex.hpp"
#include "net/thread/blocked_signals.hpp"

namespace backedpipe {
namespace {

// The usual capacity of a pipe.
constexpr std::size_t kPieceBytes = std::size_t{64} << 10;
constexpr auto kStuck = std::chrono::milliseconds(100);

std::string because(const char* what, int error) {
  return std::string(what) + ": " + std::generic_category().message(error);
}

bool is_same_socket(int one, int other) {
  struct stat first {};
  struct stat second {};
  return ::fstat(one, &first) == 0 && ::fstat(other, &second) == 0 && S_ISSOCK(first.st_mode) &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

// Keeps the descriptor in use, so that its number is not given to another file.
void close_output(int input, int output) {
  // Input and output are one socket: while the input is open, the other side would not see an end.
  if (is_same_socket(input, output)) ::shutdown(output, SHUT_WR);
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere < 0) return;
  ::dup2(nowhere, output);
  ::close(nowhere);
}

// Waits until either descriptor is ready.
void wait(std::array<pollfd, 2>& descriptors) {
  while (::poll(descriptors.data(), descriptors.size(), -1) < 0) {
  }
}

}  // namespace

// The state that the threads share. Freed by the last of them, or by the bridge.
struct StdioBridge::Shared : std::enable_shared_from_this<StdioBridge::Shared> {
  Shared(boost::asio::io_context& of, int in, int out) : io(of), input(in), output(out) {}
  ~Shared() {
    if (socket >= 0) ::close(socket);
  }

  void carry_input();
  void carry_output();
  bool write_output(const std::byte* data, std::size_t size);
  void report(std::function<void()> Handlers::*what);
  void fail(const std::string& why);
  void post(std::function<void()> call);

  boost::asio::io_context& io;  // usable only while `listening`
  const int input;
  const int output;
  int socket = -1;
  std::atomic<bool> stopped{false};
  Mutex mutex;
  bool listening GUARDED_BY(mutex) = true;
  Handlers handlers;  // set before the threads start; used on the thread of `io`

  std::vector<std::pair<std::thread, std::future<void>>> threads;  // not used by the threads
};

// --- on its threads

void StdioBridge::Shared::carry_input() {
  std::vector<std::byte> piece(kPieceBytes);
  while (true) {
    // A read alone would not notice the end of the session.
    std::array<pollfd, 2> ready{{{input, POLLIN, 0}, {socket, 0, 0}}};
    wait(ready);
    if ((ready[1].revents & (POLLHUP | POLLERR)) != 0) return;
    if (ready[0].revents == 0) continue;
    const ssize_t got = ::read(input, piece.data(), piece.size());
    if (got < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return fail(because("cannot read standard input", errno));
    }
    if (got == 0) {
      ::shutdown(socket, SHUT_WR);
      return report(&Handlers::input_ended);
    }
    for (std::size_t sent = 0; sent < static_cast<std::size_t>(got);) {
      const ssize_t taken =
          ::send(socket, piece.data() + sent, static_cast<std::size_t>(got) - sent, MSG_NOSIGNAL);
      if (taken > 0) {
        sent += static_cast<std::size_t>(taken);
      } else if (errno != EINTR) {
        return;  // the session is over
      }
    }
  }
}

void StdioBridge::Shared::carry_output() {
  std::vector<std::byte> piece(kPieceBytes);
  bool has_reader = true;
  while (true) {
    std::array<pollfd, 2> ready{{{socket, POLLIN, 0}, {has_reader ? output : -1, 0, 0}}};
    wait(ready);
    if ((ready[1].revents & (POLLERR | POLLHUP)) != 0) {
      has_reader = false;
      report(&Handlers::reader_gone);
    }
    if (ready[0].revents == 0) continue;
    const ssize_t got = ::recv(socket, piece.data(), piece.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    if (!write_output(piece.data(), static_cast<std::size_t>(got))) return;
  }
  close_output(input, output);
  report(&Handlers::output_ended);
}

bool StdioBridge::Shared::write_output(const std::byte* data, std::size_t size) {
  while (size > 0 && !stopped) {
    const ssize_t written = ::write(output, data, size);
    if (written >= 0) {
      data += written;
      size -= static_cast<std::size_t>(written);
    } else if (errno == EAGAIN) {
      // Another process that shares the open file has made it non-blocking.
      std::array<pollfd, 2> ready{{{output, POLLOUT, 0}, {-1, 0, 0}}};
      wait(ready);
    } else if (errno != EINTR) {
      fail(errno == EPIPE ? "" : because("cannot write to standard output", errno));
      return false;
    }
  }
  return !stopped;
}

void StdioBridge::Shared::report(std::function<void()> Handlers::*what) {
  post([this, what] { (handlers.*what)(); });
}

void StdioBridge::Shared::fail(const std::string& why) {
  post([this, why] { handlers.failed(why); });
}

void StdioBridge::Shared::post(std::function<void()> call) {
  const MutexLock lock(mutex);
  if (!listening) return;
  boost::asio::post(io, [self = shared_from_this(), call = std::move(call)] {
    // stop() runs on this thread too, so that `stopped` cannot change in between.
    if (!self->stopped) call();
  });
}

// --- on the io_context's thread

StdioBridge::StdioBridge(boost::asio::io_context& io, int input, int output)
    : io_(io), shared_(std::make_shared<Shared>(io, input, output)) {}

StdioBridge::~StdioBridge() {
  stop();
}

StreamSocket StdioBridge::start(Handlers handlers) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot make a pair of sockets");
  }
  shared_->socket = ends[1];
  shared_->handlers = std::move(handlers);
  StreamSocket session(io_, StreamSocket::protocol_type(AF_UNIX, 0), ends[0]);
  session.native_non_blocking(true);
  const BlockedSignals blocked;
  for (const auto carry : {&Shared::carry_input, &Shared::carry_output}) {
    std::packaged_task<void()> task([shared = shared_, carry] { ((*shared).*carry)(); });
    std::future<void> over = task.get_future();
    shared_->threads.emplace_back(std::thread(std::move(task)), std::move(over));
  }
  return session;
}

void StdioBridge::stop() {
  if (shared_->stopped.exchange(true)) return;
  {
    const MutexLock lock(shared_->mutex);
    shared_->listening = false;
  }
  // Wakes both threads.
  if (shared_->socket >= 0) ::shutdown(shared_->socket, SHUT_RDWR);
  for (auto& [thread, over] : shared_->threads) {
    if (over.wait_for(kStuck) == std::future_status::ready) {
      thread.join();
    } else {
      thread.detach();
    }
  }
  shared_->threads.clear();
}

}  // namespace backedpipe
