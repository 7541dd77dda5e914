#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <string_view>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

#include <spdlog/sinks/base_sink.h>

#include "daemon/journal.hpp"
#include "net/events/event_log.hpp"

namespace backedpipe {
namespace {

// How long to wait for a journal that is busy: one that is stuck must not hold up every session.
constexpr timeval kPatience{.tv_sec = 0, .tv_usec = 10'000};

class JournalSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  JournalSink(const std::string& path, spdlog::sink_ptr otherwise)
      : otherwise_(std::move(otherwise)) {
    address_.sun_family = AF_UNIX;
    if (path.size() >= sizeof address_.sun_path) throw std::runtime_error(path + " is too long");
    std::memcpy(address_.sun_path, path.data(), path.size());
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket_ >= 0) ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  }
  ~JournalSink() override {
    if (socket_ >= 0) ::close(socket_);
  }
  JournalSink(const JournalSink&) = delete;
  JournalSink& operator=(const JournalSink&) = delete;

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t text;
    formatter_->format(message, text);
    const char priority = journal_priority(message.level);
    entry_.clear();
    add("MESSAGE", {text.data(), text.size()});
    add("PRIORITY", {&priority, 1});
    add("SYSLOG_IDENTIFIER", "backedpipd");
    if (const LogSubject* const subject = subject_of_lines()) add(*subject);
    if (!send()) otherwise_->log(message);
  }

  void add(const LogSubject& subject) {
    add("BACKEDPIPE_EVENT", subject.event);
    if (subject.session) add("BACKEDPIPE_SESSION", to_string(*subject.session));
    if (subject.generation > 0) add("BACKEDPIPE_GENERATION", std::to_string(subject.generation));
    add("BACKEDPIPE_TUNNEL", subject.tunnel);
    add("BACKEDPIPE_SERVICE", subject.service);
    add("BACKEDPIPE_PEER", subject.peer);
    add("BACKEDPIPE_IDENTITY", subject.identity);
    add("BACKEDPIPE_REASON", subject.reason);
  }

  void add(std::string_view field, std::string_view value) {
    if (value.empty()) return;
    entry_ += field;
    if (value.find('\n') == std::string_view::npos) {
      entry_ += '=';
    } else {
      // The value is preceded by its length, 64 bits in little endian.
      entry_ += '\n';
      for (int shift = 0; shift < 64; shift += 8)
        entry_ += static_cast<char>((std::uint64_t{value.size()} >> shift) & 0xff);
    }
    entry_ += value;
    entry_ += '\n';
  }

  // Not over a connected socket: the journal may have been restarted.
  bool send() const {
    while (true) {
      const auto sent = ::sendto(socket_, entry_.data(), entry_.size(), MSG_NOSIGNAL,
                                 reinterpret_cast<const sockaddr*>(&address_), sizeof address_);
      if (sent >= 0) return true;
      if (errno != EINTR) return false;
    }
  }

  void flush_() override { otherwise_->flush(); }

  spdlog::sink_ptr otherwise_;
  sockaddr_un address_{};
  int socket_ = -1;
  std::string entry_;  // kept for its memory
};

}  // namespace

// The variable alone proves nothing: every process that a service starts inherits it, even when its
// output is redirected, see systemd.exec(5).
bool writes_to_journal() {
  const char* const stream = std::getenv("JOURNAL_STREAM");
  unsigned long long device = 0;
  unsigned long long inode = 0;
  struct stat status {};
  return stream != nullptr && std::sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
         ::fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

// The socket is in the same folder as the socket for lines, to which standard error is connected:
// with LogNamespace= that is the folder of another journal.
std::optional<std::string> journal_socket() {
  sockaddr_un address{};
  socklen_t size = sizeof address - 1;  // keeps a terminating zero
  if (!writes_to_journal() ||
      ::getpeername(STDERR_FILENO, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      address.sun_family != AF_UNIX) {
    return std::nullopt;
  }
  const std::string lines = address.sun_path;
  const std::size_t folder = lines.rfind('/');
  if (folder == std::string::npos) return std::nullopt;
  return lines.substr(0, folder) + "/socket";
}

spdlog::sink_ptr make_journal_sink(const std::string& path, spdlog::sink_ptr otherwise) {
  return std::make_shared<JournalSink>(path, std::move(otherwise));
}

}  // namespace backedpipe
