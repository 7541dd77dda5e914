#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <optional>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>

#include "daemon/descriptor_store.hpp"
#include "net/keep/keeper.hpp"

namespace backedpipe {
namespace {

// As systemd limits messages. A longer one is ignored.
constexpr std::size_t kMostTextBytes = 4096;
// How many messages are read in a row, so that a flood from a stranger does not hold up the rest.
// More than wait in the queue of a socket.
constexpr int kMostMessages = 1024;

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// Another descriptor of the same open file. The kernel need not answer the first question (it may
// be built without it, or a container may forbid it); what is kept are sockets and files in memory,
// and each of these has an inode of its own.
bool is_same(int one, int other) {
  const pid_t self = ::getpid();
  const long order = ::syscall(SYS_kcmp, self, self, KCMP_FILE, one, other);
  if (order >= 0) return order == 0;
  struct stat first {};
  struct stat second {};
  return ::fstat(one, &first) == 0 && ::fstat(other, &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

struct Message {
  std::string text;
  pid_t sender = 0;
  std::vector<int> descriptors;
  bool whole = false;
};

std::optional<Message> receive_one(int socket) {
  std::array<char, kMostTextBytes> text;
  iovec piece{text.data(), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred)) +
                                        CMSG_SPACE(NotifySocket::kMostDescriptors * sizeof(int))>
      control;
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t size = ::recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (size < 0) return std::nullopt;
  Message message;
  message.text.assign(text.data(), static_cast<std::size_t>(size));
  message.whole = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
  for (cmsghdr* each = CMSG_FIRSTHDR(&header); each != nullptr; each = CMSG_NXTHDR(&header, each)) {
    if (each->cmsg_level != SOL_SOCKET) continue;
    if (each->cmsg_type == SCM_RIGHTS) {
      message.descriptors.resize((each->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      std::memcpy(message.descriptors.data(), CMSG_DATA(each),
                  message.descriptors.size() * sizeof(int));
    } else if (each->cmsg_type == SCM_CREDENTIALS) {
      ucred sender{};
      std::memcpy(&sender, CMSG_DATA(each), sizeof sender);
      message.sender = sender.pid;
    }
  }
  return message;
}

// The value of the first line "KEY=value".
std::optional<std::string_view> value_of(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (line.size() > key.size() && line.substr(0, key.size()) == key && line[key.size()] == '=')
      return line.substr(key.size() + 1);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return std::nullopt;
}

// Takes the text before the next `mark` off the front.
std::string_view next_word(std::string_view& rest, char mark) {
  const std::size_t end = rest.find(mark);
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return word;
}

// A descriptor that is open in this process.
int open_descriptor(std::string_view word) {
  int number = -1;
  const char* const end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(word.data(), end, number);
  if (error != std::errc{} || rest != end || ::fcntl(number, F_SETFD, FD_CLOEXEC) != 0)
    throw std::runtime_error("there is no descriptor \"" + std::string(word) + "\"");
  return number;
}

}  // namespace

DescriptorStore::DescriptorStore(const std::vector<PassedDescriptor>& given) {
  socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0) fail("socket");
  const int on = 1;
  // An address without a name: the kernel chooses one in the abstract namespace.
  sockaddr_un nameless{};
  nameless.sun_family = AF_UNIX;
  if (::setsockopt(socket_, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 ||
      ::bind(socket_, reinterpret_cast<sockaddr*>(&nameless), sizeof nameless.sun_family) != 0) {
    const int error = errno;
    ::close(socket_);
    errno = error;
    fail("a socket for the daemon's notifications");
  }
  for (const auto& [name, descriptor] : given)
    held_.push_back({name, descriptor, true});
}

DescriptorStore::DescriptorStore(std::string_view released) {
  std::string_view rest = released;
  socket_ = open_descriptor(next_word(rest, '\n'));
  while (!rest.empty()) {
    std::string_view line = next_word(rest, '\n');
    const int descriptor = open_descriptor(next_word(line, ' '));
    const bool given = next_word(line, ' ') == "given";
    held_.push_back({std::string(line), descriptor, given});
  }
}

DescriptorStore::~DescriptorStore() {
  for (const Held& each : held_)
    ::close(each.descriptor);
  ::close(socket_);
}

std::string DescriptorStore::address() const {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    fail("getsockname");
  constexpr std::size_t kBefore = offsetof(sockaddr_un, sun_path);
  std::string name(address.sun_path, size > kBefore ? size - kBefore : 0);
  if (name.size() < 2) throw std::runtime_error("the socket for notifications has no name");
  name[0] = '@';
  return name;
}

void DescriptorStore::receive(pid_t child,
                              const std::function<void(std::string_view text)>& report) {
  for (int i = 0; i < kMostMessages; ++i) {
    std::optional<Message> message = receive_one(socket_);
    if (!message) {
      if (errno == EINTR) continue;
      return;
    }
    const bool counts = message->whole && message->sender == child && child > 0;
    if (counts) carry_out(message->text, message->descriptors);
    for (const int descriptor : message->descriptors)
      ::close(descriptor);
    if (counts) report(message->text);
  }
}

// Leaves in `descriptors` what is not kept.
void DescriptorStore::carry_out(std::string_view text, std::vector<int>& descriptors) {
  const std::string name(value_of(text, "FDNAME").value_or("stored"));
  if (!is_valid_descriptor_name(name)) return;
  if (value_of(text, "FDSTOREREMOVE") == "1") {
    std::erase_if(held_, [&name](const Held& each) {
      if (each.given || each.name != name) return false;
      ::close(each.descriptor);
      return true;
    });
  } else if (value_of(text, "FDSTORE") == "1") {
    std::erase_if(descriptors, [this, &name](int descriptor) {
      if (has(descriptor) || kept() >= kMost || name_bytes() + name.size() > kMostNameBytes)
        return false;
      held_.push_back({name, descriptor, false});
      return true;
    });
  }
}

bool DescriptorStore::has(int descriptor) const {
  return std::any_of(held_.begin(), held_.end(), [descriptor](const Held& each) {
    return !each.given && is_same(each.descriptor, descriptor);
  });
}

std::size_t DescriptorStore::kept() const {
  return static_cast<std::size_t>(
      std::count_if(held_.begin(), held_.end(), [](const Held& each) { return !each.given; }));
}

std::size_t DescriptorStore::name_bytes() const {
  std::size_t bytes = 0;
  for (const Held& each : held_)
    bytes += each.name.size() + 1;
  return bytes;
}

std::vector<PassedDescriptor> DescriptorStore::all() const {
  std::vector<PassedDescriptor> all;
  for (const Held& each : held_)
    all.push_back({each.name, each.descriptor});
  return all;
}

void DescriptorStore::close_on_exec(bool close) {
  ::fcntl(socket_, F_SETFD, close ? FD_CLOEXEC : 0);
  for (const Held& each : held_)
    ::fcntl(each.descriptor, F_SETFD, close ? FD_CLOEXEC : 0);
}

std::string DescriptorStore::release() {
  close_on_exec(false);
  std::string text = std::to_string(socket_) + '\n';
  for (const Held& each : held_) {
    text += std::to_string(each.descriptor);
    text += each.given ? " given " : " kept ";
    text += each.name + '\n';
  }
  return text;
}

void DescriptorStore::keep_closed() {
  close_on_exec(true);
}

}  // namespace backedpipe
