#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "net/keep/vault.hpp"
#include "net/shared/mutex.hpp"
#include "pipe/invariant.hpp"

namespace backedpipe {
namespace {

// The kernel takes this many descriptors in one message (SCM_MAX_FD). It is also how many messages
// are taken out in one step at most.
constexpr std::size_t kMostAtOnce = 253;
// What every system allows without being set up for it (net.core.wmem_max). The kernel doubles it:
// room for about 550 messages.
constexpr int kSendBufferBytes = 212992;
// More than a message of one byte takes, which is 768 on x86-64. The kernel takes a message as long
// as anything is free, so this much leaves room for one more: the one that makes room.
constexpr std::size_t kMostMessageBytes = 2048;
// It is not worth the work to close fewer than these. To move a live one costs a tenth of a
// microsecond, and there are four for each dead one.
constexpr std::size_t kFewDead = 32;
constexpr std::size_t kLivingForEachDead = 4;

struct Peeked {
  std::size_t bytes = 0;  // of the message
  std::vector<int> descriptors;
  bool complete = true;
};

// Duplicates of the descriptors in the message that begins `offset` bytes after the oldest one.
// Nothing: there is none.
std::optional<Peeked> peek(int take_end, int offset) {
  if (::setsockopt(take_end, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset) != 0) {
    return std::nullopt;
  }
  std::byte content{};
  iovec piece{.iov_base = &content, .iov_len = 1};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kMostAtOnce * sizeof(int))> control;
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  // With MSG_TRUNC the length is the whole message's.
  const ssize_t bytes =
      ::recvmsg(take_end, &header, MSG_PEEK | MSG_TRUNC | MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (bytes < 0) return std::nullopt;
  Peeked peeked;
  peeked.bytes = static_cast<std::size_t>(bytes);
  peeked.complete = (header.msg_flags & MSG_CTRUNC) == 0;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t size = part->cmsg_len - CMSG_LEN(0);
    const std::size_t before = peeked.descriptors.size();
    peeked.descriptors.resize(before + size / sizeof(int));
    std::memcpy(peeked.descriptors.data() + before, CMSG_DATA(part), size);
  }
  return peeked;
}

int option(int socket, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(socket, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

// What `request` (SIOCINQ, SIOCOUTQ) says about this socket; 0 if it says nothing.
std::size_t queued(int socket, unsigned long request) {
  int bytes = 0;
  if (::ioctl(socket, request, &bytes) != 0) return 0;
  return static_cast<std::size_t>(std::max(bytes, 0));
}

}  // namespace

std::optional<VaultEnds> Vault::make_ends() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return std::nullopt;
  }
  return VaultEnds{.put = ends[0], .take = ends[1]};
}

bool Vault::are_ends(const VaultEnds& ends) {
  const auto is_end = [](int socket) {
    return option(socket, SO_DOMAIN) == AF_UNIX && option(socket, SO_TYPE) == SOCK_SEQPACKET &&
           option(socket, SO_ACCEPTCONN) == 0;
  };
  return is_end(ends.put) && is_end(ends.take);
}

Vault::Vault(VaultEnds ends) : ends_(ends) {
  invariant(are_ends(ends));
  for (const int end : {ends.put, ends.take})
    ::fcntl(end, F_SETFD, FD_CLOEXEC);
  ::setsockopt(ends.put, SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes, sizeof kSendBufferBytes);
  capacity_bytes_ = static_cast<std::size_t>(std::max(option(ends.put, SO_SNDBUF), 0));
}

Vault::~Vault() {
  ::close(ends_.put);
  ::close(ends_.take);
}

// Of the few messages that there usually are it is known without asking the kernel.
bool Vault::holds_more_than(std::size_t bytes) const {
  return messages_.size() * kMostMessageBytes > bytes && queued(ends_.put, SIOCOUTQ) > bytes;
}

// --- while sessions come and go

bool Vault::put(int socket) {
  const MutexLock lock(mutex_);
  if (living_.contains(socket)) return true;
  if (send_one(socket)) {
    tidy();
    return true;
  }
  // Either limit may be reached because of what is dead, or because of many small messages.
  for (const std::uint64_t all = messages_taken_ + messages_.size(); messages_taken_ < all;)
    if (found_ || !clean_some()) return false;
  return send_one(socket);
}

void Vault::forget(int socket) {
  const MutexLock lock(mutex_);
  if (living_.erase(socket) > 0) tidy();
}

bool Vault::compact() {
  std::uint64_t all = 0;
  {
    const MutexLock lock(mutex_);
    found_.reset();
    all = messages_taken_ + messages_.size();
  }
  while (true) {
    const MutexLock lock(mutex_);
    if (messages_taken_ >= all) return true;
    if (!clean_some()) return false;
  }
}

bool Vault::send(std::span<const int> sockets) {
  // A message without bytes would be lost to SO_PEEK_OFF.
  std::byte content{};
  iovec piece{.iov_base = &content, .iov_len = 1};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kMostAtOnce * sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = CMSG_SPACE(sockets.size_bytes());
  cmsghdr* const part = CMSG_FIRSTHDR(&header);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(sockets.size_bytes());
  std::memcpy(CMSG_DATA(part), sockets.data(), sockets.size_bytes());
  if (::sendmsg(ends_.put, &header, MSG_DONTWAIT | MSG_NOSIGNAL) != 1) return false;
  messages_.push_back(sockets.size());
  for (const int socket : sockets) {
    living_[socket] = taken_ + sockets_.size();
    sockets_.push_back(socket);
  }
  return true;
}

bool Vault::send_one(int socket) {
  if (capacity_bytes_ <= kMostMessageBytes) return false;
  return !holds_more_than(capacity_bytes_ - kMostMessageBytes) && send({&socket, 1});
}

// Does a bounded part of what is to be done. That is enough if it is done each time that a socket
// comes or goes: one part handles hundreds of them.
void Vault::tidy() {
  const std::size_t dead = sockets_.size() - living_.size();
  const bool many_are_dead = dead > kFewDead + living_.size() / kLivingForEachDead;
  const bool is_nearly_full = holds_more_than(capacity_bytes_ / 4 * 3);
  if (!found_ && (many_are_dead || is_nearly_full)) clean_some();
}

// Moves what lives in the oldest messages into a new one, and takes those messages out. False if
// the kernel refuses; if it does not, at least one message is taken out.
bool Vault::clean_some() {
  if (!take_dead()) return false;
  const std::vector<int> living = oldest_living();
  if (living.empty()) return true;
  if (!send(living)) {
    // One that was closed without forget() must not stop the others.
    if (errno == EBADF) {
      std::erase_if(living_, [](const auto& one) { return ::fcntl(one.first, F_GETFD) < 0; });
    }
    return false;
  }
  return take_dead();
}

std::vector<int> Vault::oldest_living() const {
  std::vector<int> living;
  std::size_t index = 0;
  const std::size_t messages = std::min(messages_.size(), kMostAtOnce);
  for (std::size_t i = 0; i < messages; ++i) {
    for (const std::size_t end = index + messages_[i]; index < end; ++index) {
      if (!is_living(taken_ + index)) continue;
      if (living.size() == kMostAtOnce) return living;
      living.push_back(sockets_[index]);
    }
  }
  return living;
}

bool Vault::is_living(Place place) const {
  const auto found = living_.find(sockets_[place - taken_]);
  return found != living_.end() && found->second == place;
}

bool Vault::is_oldest_dead() const {
  for (std::size_t i = 0; i < messages_.front(); ++i)
    if (is_living(taken_ + i)) return false;
  return true;
}

// False if the kernel refuses.
bool Vault::take_dead() {
  for (std::size_t i = 0; i < kMostAtOnce && !messages_.empty() && is_oldest_dead(); ++i)
    if (!take_oldest()) return false;
  return true;
}

bool Vault::take_oldest() {
  while (true) {
    // There is no room for descriptors, so the kernel closes them without giving them to us first.
    std::byte content{};
    const ssize_t bytes = ::recv(ends_.take, &content, 1, MSG_DONTWAIT);
    if (bytes > 0) break;
    // A message without bytes is none of ours, and contents() may not have seen it. But 0 may also
    // mean that the queue has ended.
    if (bytes < 0 || queued(ends_.take, SIOCINQ) == 0) return false;
  }
  sockets_.erase(sockets_.begin(),
                 sockets_.begin() + static_cast<std::ptrdiff_t>(messages_.front()));
  taken_ += messages_.front();
  messages_.pop_front();
  ++messages_taken_;
  return true;
}

// --- taking over from a process that is gone

Vault::Contents Vault::contents() {
  const MutexLock lock(mutex_);
  invariant(living_.empty());
  messages_.clear();
  sockets_.clear();
  found_.emplace();
  Contents contents;
  // Anybody who had the put end can have put anything here.
  for (std::size_t offset = 0; offset < queued(ends_.take, SIOCINQ);) {
    const std::optional<Peeked> peeked = peek(ends_.take, static_cast<int>(offset));
    if (!peeked) {
      contents.complete = false;
      break;
    }
    // The kernel shows a message without bytes once, or not at all.
    const bool counts = peeked->bytes > 0;
    if (counts) messages_.push_back(peeked->descriptors.size());
    for (const int descriptor : peeked->descriptors) {
      const std::uint64_t cookie = counts ? cookie_of(descriptor) : 0;
      if (cookie != 0 && found_->insert_or_assign(cookie, taken_ + sockets_.size()).second) {
        contents.sockets.push_back({.descriptor = descriptor, .cookie = cookie});
      } else {
        ::close(descriptor);
      }
      if (counts) sockets_.push_back(-1);
    }
    contents.complete = contents.complete && peeked->complete;
    offset += peeked->bytes;
  }
  constexpr int kNoOffset = -1;
  ::setsockopt(ends_.take, SOL_SOCKET, SO_PEEK_OFF, &kNoOffset, sizeof kNoOffset);
  return contents;
}

bool Vault::adopt(int socket) {
  const MutexLock lock(mutex_);
  if (!found_) return false;
  const auto found = found_->find(cookie_of(socket));
  if (found == found_->end()) return false;
  sockets_[found->second - taken_] = socket;
  living_[socket] = found->second;
  return true;
}

std::uint64_t cookie_of(int socket) {
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  return ::getsockopt(socket, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

}  // namespace backedpipe
