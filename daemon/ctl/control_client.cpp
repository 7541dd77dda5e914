#include "daemon/ctl/control_client.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>

#include "control/line_buffer.hpp"

namespace backedpipe::ctl {
namespace {

using Clock = std::chrono::steady_clock;
using Answer = Checked<std::string, Unreachable>;

// Far above what the most sessions a daemon can have need.
constexpr std::size_t kMaxAnswerBytes = std::size_t{256} << 20;

class Socket {
 public:
  Socket() : handle_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {}
  ~Socket() {
    if (handle_ >= 0) ::close(handle_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int handle() const { return handle_; }

 private:
  int handle_;
};

Unreachable from_errno(int error) {
  std::string problem = std::generic_category().message(error);
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return {
          std::move(problem),
          "Is backedpipd running, and with a control socket there? If it is elsewhere, give its "
          "path with --socket."};
    case ECONNREFUSED:
    case ENOTSOCK:
      return {std::move(problem),
              "No daemon listens there any more: start backedpipd, or give the path of another "
              "socket with --socket."};
    case EACCES:
    case EPERM:
      return {std::move(problem),
              "Your user may not use this socket: run backedpipctl as the daemon's user, or join "
              "the group that owns the socket."};
    default:
      return {std::move(problem), "Give the path of the daemon's control socket with --socket."};
  }
}

Unreachable too_slow(std::chrono::milliseconds timeout) {
  return {"no answer within " + std::to_string(timeout.count()) + " ms",
          "The daemon may be stopped or overloaded: see its log."};
}

// 0 when the socket is ready, ETIMEDOUT, or another errno.
int wait_for(const Socket& socket, short events, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return ETIMEDOUT;
    pollfd entry{socket.handle(), events, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(left.count()));
    if (ready > 0) return 0;
    if (ready < 0 && errno != EINTR) return errno;
  }
}

int connect(const Socket& socket, const std::string& path, Clock::time_point deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return ENAMETOOLONG;
  std::memcpy(address.sun_path, path.data(), path.size());
  for (;;) {
    if (::connect(socket.handle(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
        0) {
      return 0;
    }
    // EAGAIN: the listener's queue is full, and there is nothing to wait on (unix(7)).
    if (errno != EAGAIN && errno != EINTR) return errno;
    if (Clock::now() >= deadline) return ETIMEDOUT;
    ::poll(nullptr, 0, 20);
  }
}

int send_all(const Socket& socket, std::string_view bytes, Clock::time_point deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket.handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      if (const int error = wait_for(socket, POLLOUT, deadline)) return error;
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

Answer receive_line(const Socket& socket, Clock::time_point deadline,
                    std::chrono::milliseconds timeout) {
  LineBuffer lines(kMaxAnswerBytes);
  std::array<char, 65536> bytes;
  for (;;) {
    if (std::optional<std::string> line = lines.next()) return *std::move(line);
    if (lines.overflowed()) {
      return Answer::failure({"the answer has no end", "Is it backedpipd's control socket?"});
    }
    const ssize_t received = ::recv(socket.handle(), bytes.data(), bytes.size(), 0);
    if (received > 0) {
      lines.append({bytes.data(), static_cast<std::size_t>(received)});
    } else if (received == 0) {
      return Answer::failure({"the connection was closed without an answer",
                              "The daemon may be stopping: see its log."});
    } else if (errno == EAGAIN) {
      const int error = wait_for(socket, POLLIN, deadline);
      if (error == ETIMEDOUT) return Answer::failure(too_slow(timeout));
      if (error != 0) return Answer::failure(from_errno(error));
    } else if (errno != EINTR) {
      return Answer::failure(from_errno(errno));
    }
  }
}

}  // namespace

Answer ask(const std::string& path, std::string_view request, std::chrono::milliseconds timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  const Socket socket;
  if (socket.handle() < 0) return Answer::failure(from_errno(errno));
  int error = connect(socket, path, deadline);
  if (error == 0) error = send_all(socket, std::string(request) + '\n', deadline);
  if (error == ETIMEDOUT) return Answer::failure(too_slow(timeout));
  if (error != 0) return Answer::failure(from_errno(error));
  return receive_line(socket, deadline, timeout);
}

}  // namespace backedpipe::ctl
