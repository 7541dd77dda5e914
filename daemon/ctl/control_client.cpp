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
#include "daemon/ctl/text.hpp"

namespace backedpipe::ctl {
namespace {

using Clock = std::chrono::steady_clock;
using Answer = Checked<std::string, Unreachable>;

constexpr Clock::time_point kNever = Clock::time_point::max();
// Far above the size of an answer about the most sessions that a daemon can have.
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

constexpr std::size_t kMaxPathBytes = sizeof(sockaddr_un::sun_path) - 1;

// `error` is an errno; ETIMEDOUT stands for `timeout` and ECONNRESET for any early end.
Answer no_answer(int error, std::chrono::milliseconds timeout) {
  std::string problem = std::generic_category().message(error);
  std::string advice = "Give the path of the daemon's control socket with --socket.";
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      advice =
          "Is backedpipd running with a control socket there? If the socket is elsewhere, give its "
          "path with --socket.";
      break;
    case ECONNREFUSED:
    case ENOTSOCK:
      advice =
          "No daemon listens there any more: start backedpipd, or give the path of another "
          "socket with --socket.";
      break;
    case EACCES:
    case EPERM:
      advice =
          "Your user may not use this socket: run backedpipctl as the daemon's user, or join "
          "the group that owns the socket.";
      break;
    case ENAMETOOLONG:
      problem = "the path is too long";
      advice = "The path of a Unix socket has at most " + std::to_string(kMaxPathBytes) +
               " bytes: give a shorter one, perhaps from another folder, with --socket.";
      break;
    case ETIMEDOUT:
      problem = "no answer within " + human_milliseconds(static_cast<double>(timeout.count()));
      advice = "The daemon may be stopped or overloaded: see its log.";
      break;
    case EPIPE:
    case ECONNRESET:
      problem = "the connection was closed without an answer";
      advice =
          "The daemon may be stopping, or already serve as many connections to this socket as it "
          "can: see its log.";
      break;
    default:
      break;
  }
  return Answer::failure({std::move(problem), std::move(advice)});
}

// 0 when the socket is ready, ETIMEDOUT, or another errno.
int wait_for(const Socket& socket, short events, Clock::time_point deadline) {
  for (;;) {
    int left_ms = -1;
    if (deadline != kNever) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
      if (left.count() <= 0) return ETIMEDOUT;
      left_ms = static_cast<int>(left.count());
    }
    pollfd entry{socket.handle(), events, 0};
    const int ready = ::poll(&entry, 1, left_ms);
    if (ready > 0) return 0;
    if (ready < 0 && errno != EINTR) return errno;
  }
}

int connect(const Socket& socket, const std::string& path, Clock::time_point deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() > kMaxPathBytes) return ENAMETOOLONG;
  std::memcpy(address.sun_path, path.data(), path.size());
  for (;;) {
    if (::connect(socket.handle(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
        0) {
      return 0;
    }
    // EAGAIN: the listener's queue is full; poll() cannot wait for that (unix(7)).
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

Answer receive_line(const Socket& socket, LineBuffer& lines, Clock::time_point deadline,
                    std::chrono::milliseconds timeout) {
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
      return no_answer(ECONNRESET, timeout);
    } else if (errno == EAGAIN) {
      if (const int error = wait_for(socket, POLLIN, deadline)) return no_answer(error, timeout);
    } else if (errno != EINTR) {
      return no_answer(errno, timeout);
    }
  }
}

}  // namespace

std::optional<Unreachable> follow(const std::string& path, std::string_view request,
                                  std::chrono::milliseconds timeout,
                                  const std::function<bool(const std::string& line)>& on_line) {
  Clock::time_point deadline = Clock::now() + timeout;
  const Socket socket;
  if (socket.handle() < 0) return no_answer(errno, timeout).error();
  int error = connect(socket, path, deadline);
  if (error == 0) error = send_all(socket, std::string(request) + '\n', deadline);
  if (error != 0) return no_answer(error, timeout).error();
  LineBuffer lines(kMaxAnswerBytes);
  for (;;) {
    const Answer line = receive_line(socket, lines, deadline, timeout);
    if (!line) return line.error();
    if (!on_line(*line)) return std::nullopt;
    deadline = kNever;
  }
}

Answer ask(const std::string& path, std::string_view request, std::chrono::milliseconds timeout) {
  Answer answer = Answer::failure({});
  auto unreachable = follow(path, request, timeout, [&](const std::string& line) {
    answer = line;
    return false;
  });
  if (unreachable) return Answer::failure(*std::move(unreachable));
  return answer;
}

}  // namespace backedpipe::ctl
